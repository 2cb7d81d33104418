"""`whetstone compare` and `sweep`: results side by side, and runs that differ in some settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.command_line import checked_name, fail, make_plan, out, project, write_checked, write_page
from flows.commands.graph import run
from flows.commands.options import AsJson, Jobs, Name, Verbose

Sides = Annotated[
    list[str],
    typer.Argument(
        metavar="A B…",
        help="Evaluations or models by name; NAME of NAME_s0, NAME_s1, … is all its seeds; REV:NAME that of "
        "a commit, RECIPE:NAME of a recipe.",
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
    from flows import api
    from flows.graph.stage_records import BrokenRecord

    try:
        compared = api.compare(*sides, root=root)
    except (BrokenRecord, FileNotFoundError) as error:
        fail(str(error), 1, as_json)
    except ValueError as error:
        fail(str(error), 2, as_json)
    if html:
        from flows.provenance.comparison_page import render

        write_page(html, render(compared), as_json)
    if as_json:
        print(json.dumps(compared.as_json(), indent=1))
    elif not html:
        from flows.compare_view import print_comparison

        print_comparison(out, compared)


def sweep(
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", "-S", metavar="RUN.KEY=A,B", help="A setting of one run and its values; may be repeated."
        ),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would run; write nothing.")] = False,
    jobs: Jobs = 0,
    name: Name = "",
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Write a run for every combination of values into params.yaml, with its evaluation, and run them.

    What they start and learn from is made once. Example:
    [bold]whetstone sweep -S rl.grpo.optimiser.learning_rate=1e-4,3e-4 -S rl.grpo.seed=0,1 --plan[/]
    """
    root = project(as_json)
    checked_name(name, as_json)
    from flows.graph import seeds, sweeps
    from flows.graph.params import check
    from flows.graph.params_file import PARAMS, ParamsError, document_of, parse, read_text, text_of

    try:
        document = document_of(read_text(root / PARAMS))
        targets = sweeps.add(document, sweeps.read(settings or [], document, root), root)
        seeds.expand(document, root)
        text = text_of(document)
        check(parse(text))
    except ParamsError as error:
        fail(str(error), 2, as_json)
    if plan:
        planned = make_plan(root, targets, False, as_json, text)
        if as_json:
            print(json.dumps({"stages": [row.as_json() for row in planned.rows]}, indent=1))
        else:
            from flows.plan_table import print_plan

            print_plan(out, planned)
        return
    write_checked(root, text, targets, as_json)
    run(targets, jobs=jobs, name=name, verbose=verbose, as_json=as_json)
