"""`whetstone lineage`, `audit`, `aside`, `judge`: what was trained, and what models say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.command_line import fail, out, project, write_page
from flows.commands.options import AsJson, Subject


def lineage(
    subject: Subject,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write one self-contained page with the graph.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show where a checkpoint came from, down to the raw files; flags every file whose bytes no longer match.

    Example: [bold]whetstone lineage models/grpo --html lineage.html[/]
    """
    root = project(as_json)
    from flows import api
    from flows.provenance.history import BrokenRecord
    from flows.provenance.lineage import render_tree
    from flows.provenance.subject import UnknownSubject

    try:
        ancestry = api.lineage(subject, root)
    except UnknownSubject as error:
        fail(str(error), 2, as_json)
    except BrokenRecord as error:
        fail(str(error), 1, as_json)
    if html:
        from flows.provenance.lineage_page import render

        write_page(html, render(ancestry), as_json)
    if as_json:
        print(json.dumps(ancestry, indent=1, default=str))
    elif not html:
        out.print(render_tree(ancestry))
    raise typer.Exit(1 if ancestry["problems"] else 0)


def audit(
    subject: Subject,
    replay: Annotated[
        bool,
        typer.Option("--replay", help="Train the stage again from its recorded inputs; compare bit for bit."),
    ] = False,
    scratch: Annotated[
        Path | None, typer.Option("--scratch", help="Where to replay; default a temporary folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify a checkpoint, its inputs and its registry entry, byte for byte. Exit code 1 names what does not
    verify.

    Example: [bold]whetstone audit models/sft --replay[/]
    """
    root = project(as_json)
    from flows.audit_command import audit_subject

    code, report = audit_subject(root, subject, replay, scratch, None if as_json else out)
    if as_json:
        print(json.dumps(report, indent=1, default=str))
    raise typer.Exit(code)


def aside(
    name: Annotated[
        str | None, typer.Argument(help="One of the entries; all are listed when left out.")
    ] = None,
    evaluate: Annotated[
        bool,
        typer.Option("--evaluate", help="Answer the held-out problems with its model; compare with today's."),
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Delete it.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what was trained but does not count, because something changed while it was trained: where it
    lies, and why.

    Its model can be looked at (`whetstone lineage PATH`), judged with, and evaluated. Nothing in here is ever
    fresh.

    Example: [bold]whetstone aside sft-1f2e3d4c5b6a7988-20260131-120000 --evaluate[/]
    """
    root = project(as_json)
    from flows import aside_command
    from flows.graph.aside import UnknownEntry

    try:
        aside_command.show(root, name, evaluate, remove, as_json, out)
    except UnknownEntry as error:
        fail(str(error), 2, as_json)
    except aside_command.NotEvaluated as error:
        fail(str(error), 1, as_json)


def judge(
    rule: Annotated[
        str,
        typer.Argument(
            help="A reward by its name (`math_answer`, `code_tests`, …), a function of your own "
            "(`my_rewards.py:correct`), or a judge's model: models/verifier."
        ),
    ],
    file: Annotated[
        str,
        typer.Argument(
            help="JSON Lines with `response` and `reference`; `question` for judges that read it; - is stdin."
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", "-S", metavar="KEY=VALUE", help="An option of the reward; may be repeated."),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="A line of JSON for each row, and nothing else, on standard output."),
    ] = False,
) -> None:
    """What a rule, the tests of programs or a verifier's model says of each response in a file. Changes
    nothing.

    A line for each row, in order: right, wrong or error, the score, the reason. A row that is none is an
    error that names its line.

    Example: [bold]whetstone judge math_answer answers.jsonl --json[/], where a row is
    [bold]{"response": "So it is \\\\boxed{5}.", "reference": "5"}[/]; of a model
    [bold]whetstone judge verifier rows.jsonl -S model=models/verifier[/]
    """
    from flows.judge_command import BadUsage, judge_file

    try:
        judge_file(rule, file, settings or [], as_json)
    except BadUsage as error:
        fail(str(error), 2)
    # a model that is no model, a server's key that is not set, no sandbox
    except (OSError, ValueError, RuntimeError) as error:
        fail(f"{rule}: {error}", 2)
