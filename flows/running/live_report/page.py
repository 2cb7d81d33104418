"""The live report as one page that opens from a disk, loads nothing from elsewhere, and loads itself again
while the run goes on.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flows.running.live import figures as in_words
from flows.running.live_report import location
from flows.running.live_report.figures import Figure, Figures
from flows.running.live_report.snapshot import (
    CUT_SHORT,
    FRESH,
    GOOD,
    RUNNING,
    STALE,
    WAITING,
    Row,
    Snapshot,
    gather,
)
from tasks import durable
from tasks.report_page import html
from tasks.report_page.style import CSS
from tasks.report_page.templates import environment, trusted_markup
from tasks.report_page.wording import cut

FOLDER = Path(__file__).parent
PERIOD_S = 10.0  # of the page, where nothing but progress changes
TEXT_LIMIT = 1500  # characters of a prompt or a response
BADGES = {  # of the report's style sheet
    **dict.fromkeys((FRESH, *GOOD), "right"),
    "failed": "wrong",
    **dict.fromkeys(("stopped", "skipped", CUT_SHORT), "error"),
}
STATES = {
    "": "No run has been recorded.",
    RUNNING: "Running.",
    "done": "Ended well.",
    "failed": "Ended, and something failed; the next `whetstone run` goes on from here.",
    "stopped": "Stopped; the next `whetstone run` goes on from its checkpoints.",
    "died": "Ended without a closing record: it was killed, or its machine went down. The next `whetstone "
    "run` goes on from its checkpoints.",
}


def write(
    root: Path, planned: Iterable[Mapping[str, Any]] | None = None, figures: Figures | None = None
) -> Snapshot:
    """Write the page of what there is at this moment, and return that. `planned`: as `gather` takes it."""
    snapshot = gather(root, planned)
    drawn = (figures or Figures()).of(snapshot.curves, last=snapshot.state != RUNNING)
    durable.write(location(root), render(snapshot, drawn))
    return snapshot


def render(snapshot: Snapshot, figures: Iterable[Figure]) -> str:
    """Returns the page."""
    ready = snapshot.of(FRESH, *GOOD)
    return (
        environment(FOLDER)
        .get_template("live.html.j2")
        .render(
            style=trusted_markup(CSS + (FOLDER / "live.css").read_text("utf-8")),
            script=trusted_markup((FOLDER / "live.js").read_text("utf-8")),
            snapshot=snapshot,
            sentence=STATES[snapshot.state],
            since=clock(snapshot.since),
            until=clock(snapshot.until),
            taken=clock(snapshot.taken),
            period=PERIOD_S,
            ready=len(ready),
            running=snapshot.of(RUNNING),
            left=len(snapshot.of(WAITING, STALE)),
            badges=BADGES,
            figures=[(figure, trusted_markup(figure.data)) for figure in figures],
            samples=[(samples, list(_by_prompt(samples.rows))) for samples in snapshot.samples],
            in_words=in_words,
            duration=duration,
            cut=cut,
            limit=TEXT_LIMIT,
        )
    )


def clock(seconds: float | None) -> str:
    """Returns a time of day with its date, in the zone of this machine."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def duration(seconds: float | None) -> str:
    """Returns 5025 as `1 h 24 min`, 125 as `2 min 5 s`."""
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _by_prompt(rows: Iterable[Row]) -> Iterable[tuple[Row, list[Any]]]:
    """Yields a row of each prompt, with the responses to it as the report shows them."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["prompt"], []).append(row)
    pieces: Any = html.template("pieces.html.j2").module
    for members in groups.values():
        yield (
            members[0],
            [
                trusted_markup(str(pieces.side(_heading(row, number), row, TEXT_LIMIT)))
                for number, row in enumerate(members, 1)
            ],
        )


def _heading(row: Row, number: int) -> str:
    name = row.get("decoding") if isinstance(row.get("decoding"), str) else f"response {number}"
    reward = row.get("reward", row.get("score"))
    return f"{name}, reward {reward:.3g}" if isinstance(reward, (int, float)) else str(name)
