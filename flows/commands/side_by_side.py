"""`whetstone compare`: results side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.command_line import err, fail, out, project
from flows.commands.options import AsJson

Sides = Annotated[
    list[str],
    typer.Argument(
        metavar="A B…",
        help="Evaluations or models by name; NAME of NAME_s0, NAME_s1, … is all its seeds; REV:NAME that of "
        "a commit.",
    ),
]


def compare(
    sides: Sides,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write one self-contained page, with curves and samples.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Results side by side: accuracies, differences on the same questions, and what was made differently.

    Example: [bold]whetstone compare sft grpo HEAD~1:grpo --html compare.html[/]
    """
    html = html.absolute() if html else None
    root = project(as_json)
    if len(sides) < 2:
        fail("two results or more are compared: `whetstone compare sft grpo`", 2, as_json)
    from flows import api
    from flows.graph.stage_records import BrokenRecord
    from flows.provenance.subject import UnknownSubject

    try:
        compared = api.compare(*sides, root=root)
    except UnknownSubject as error:
        fail(str(error), 2, as_json)
    except (BrokenRecord, FileNotFoundError) as error:
        fail(str(error), 1, as_json)
    if html:
        from flows.provenance.comparison_page import render

        html.write_text(render(compared), "utf-8")
        err.print(f"wrote {html}", markup=False)
    if as_json:
        print(json.dumps(compared.as_json(), indent=1))
    elif not html:
        from flows.compare_view import print_comparison

        print_comparison(out, compared)
