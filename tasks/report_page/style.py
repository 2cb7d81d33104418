"""The style sheet of Whetstone's pages, and the script that fills in timings. Both are put into the page, so
that it is one file.

A package folder's other files are part of the stage's code digest too: a changed style sheet makes the report
stale.
"""

from pathlib import Path

_HERE = Path(__file__).parent
CSS = (_HERE / "page.css").read_text("utf-8")
TIMINGS = (_HERE / "timings.js").read_text("utf-8")
