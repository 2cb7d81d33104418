"""The report's pieces as HTML (`pieces.html.j2`), and the functions that their templates may call."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.report_page import templates, wording
from tasks.report_page.figures import AXES
from tasks.report_page.tables import Column

if TYPE_CHECKING:
    from jinja2 import Template

    from tasks.report_page.preferences import Section

FOLDER = Path(__file__).parent
MARKS = {"right": "✓", "wrong": "✗", "error": "!"}
WORDING = ("percent", "points", "interval", "points_interval", "number", "estimate_interval", "cut")


@cache
def template(name: str) -> Template:
    """Returns a template of this folder, with the functions that all of them may call."""
    environment = templates.environment(FOLDER)
    environment.globals |= {name: getattr(wording, name) for name in WORDING}
    environment.globals |= {"grouped": grouped, "kind_of": kind_of, "marks": MARKS, "axes": AXES}
    return environment.get_template(name)


def blocks(section: Section) -> str:
    """Returns the content of a section."""
    pieces: Any = template("pieces.html.j2").module
    return str(pieces.blocks(section))


def grouped(columns: Sequence[Column]) -> list[tuple[str, list[Column]]]:
    """Returns the columns grouped under their common headings; without one, the heading is empty."""
    return [(group, list(members)) for group, members in groupby(columns, key=lambda column: column.group)]


def kind_of(value: Any) -> str:
    """Returns the name of a value's class, by which a template chooses how to write a cell or a block."""
    return type(value).__name__
