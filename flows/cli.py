"""`whetstone`: plan, run, status, lineage, audit, aside, report, show, ui, serve, doctor, use, judge, params.

Exit codes: 0 fresh or done, 1 something failed or does not verify, 2 bad usage or parameters. Each command
imports what it needs when it is called, so that `plan` and a run without work stay below a second.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.command_line import (
    DEBUG,
    edited,
    err,
    fail,
    make_plan,
    out,
    own_settings,
    project,
    unforeseen,
    words_of,
    write_edited,
)
from pipelines.quiet import quiet

gc.set_threshold(100_000)  # imports make many objects that stay: looking for garbage among them is wasted

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Whetstone: one graph from raw data to an audited checkpoint.",
)
Targets = Annotated[
    list[str] | None,
    typer.Argument(help="Stages (`sft`, `rl@grpo`, or `rl` for all of them); everything when left out."),
]
Subject = Annotated[
    str,
    typer.Argument(
        help="models/sft, a copied-out checkpoint folder, or a registered model: sft, sft:3, sft@alias."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
CHANGES_SHOWN = 12  # of what `use` changes: more would fill the first screen
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-S", metavar="KEY=VALUE", help="Write a value into params.yaml first; may be repeated."
    ),
]
Supposed = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-S", metavar="KEY=VALUE", help="Plan as if params.yaml held this value; may be repeated."
    ),
]


@app.command()
def plan(
    targets: Targets = None,
    force: Annotated[bool, typer.Option("--force", help="Plan the targets as if stale.")] = False,
    settings: Supposed = None,
    as_json: AsJson = False,
) -> None:
    """What would run, and why; changes nothing.

    Example: [bold]whetstone plan rl -S rl.common.optimiser.learning_rate=1e-4[/]
    """
    root = project(as_json)
    text, added = edited(root, settings, targets, as_json) or (None, [])
    own = own_settings(root, as_json, text)
    made = make_plan(root, targets, force, as_json, text)
    if added:
        err.print(f"params.yaml: `whetstone run` would add {', '.join(added)}", style="yellow", markup=False)
    if as_json:
        print(
            json.dumps(
                {**own, "stale": len(made.todo), "stages": [row.as_json() for row in made.rows]}, indent=1
            )
        )
        return
    from flows.plan_table import print_plan

    print_plan(out, made)


@app.command()
def run(
    targets: Targets = None,
    settings: Settings = None,
    force: Annotated[bool, typer.Option("--force", help="Run the targets even when they are fresh.")] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", help="Stages at once; default execution.jobs.", min=0)
    ] = 0,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the stages' own output.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring everything (or the targets and what they need) up to date, running only what is stale.

    Example: [bold]whetstone run report -S sft.common.steps=500 --jobs 2[/]
    """
    root = project(as_json)
    write_edited(root, settings, targets, as_json)
    own = own_settings(root, as_json)
    from flows.graph import dvc_api, plan
    from flows.graph.params_file import ParamsError
    from flows.plan_table import print_done
    from flows.running.live import Silent, Terminal
    from flows.running.prefect_server import ServerFailed
    from flows.running.run import run as start
    from flows.workspace import Busy

    try:
        if as_json:
            ran = start(root, targets or [], force, jobs, Silent())
        else:
            with Terminal(out, verbose) as display:
                ran = start(root, targets or [], force, jobs, display)
    except (ParamsError, plan.UnknownStage) as error:
        fail(str(error), 2, as_json)
    except (Busy, ServerFailed, SyntaxError, OSError) as error:
        fail(words_of(error), 1, as_json)
    except dvc_api.dvc_error() as error:
        fail(f"DVC: {error}", 1, as_json)
    if as_json:
        print(ran.as_json(own))
    else:
        print_done(out, root, ran)
    raise typer.Exit(ran.code)


@app.command()
def status(as_json: AsJson = False) -> None:
    """How many stages are fresh, what runs at this moment, how the last run ended.

    Example: [bold]whetstone status --json[/]
    """
    root = project(as_json)
    from flows.plan_table import print_status, status_of

    own = own_settings(root, as_json)
    found = {**status_of(root, make_plan(root, None, False, as_json)), **own}
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        print_status(out, found)


@app.command()
def lineage(
    subject: Subject,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write one self-contained page with the graph.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Where a checkpoint came from, down to the raw files; flags every file whose bytes no longer match.

    Example: [bold]whetstone lineage models/grpo --html lineage.html[/]
    """
    root = project(as_json)
    from flows.provenance.history import BrokenRecord
    from flows.provenance.lineage import lineage as trace
    from flows.provenance.lineage import render_tree
    from flows.provenance.subject import UnknownSubject

    try:
        found = trace(root, subject)
    except UnknownSubject as error:
        fail(str(error), 2, as_json)
    except BrokenRecord as error:
        fail(str(error), 1, as_json)
    if html:
        from flows.provenance.lineage_page import render

        html.write_text(render(found), "utf-8")
        err.print(f"wrote {html}")
    if as_json:
        print(json.dumps(found, indent=1, default=str))
    elif not html:
        out.print(render_tree(found))
    raise typer.Exit(1 if found["problems"] else 0)


@app.command()
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

    code, found = audit_subject(root, subject, replay, scratch, None if as_json else out)
    if as_json:
        print(json.dumps(found, indent=1, default=str))
    raise typer.Exit(code)


@app.command()
def report(
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Where the report lies, whether it is fresh, and its headline.

    Example: [bold]whetstone report --open[/]
    """
    root = project(as_json)
    page, text = root / "reports" / "index.html", root / "reports" / "report.md"
    if not page.exists() or not text.exists():
        fail("there is no report yet; make it with `whetstone run`", 1, as_json)
    from flows.plan_table import headline

    fresh = all(row.action == "keep" for row in make_plan(root, ["report"], False, as_json).rows)
    said = headline(text.read_text("utf-8"))
    if as_json:
        print(json.dumps({"page": str(page), "markdown": str(text), "fresh": fresh, "headline": said}))
    else:
        for line in said:
            out.print(line, markup=False)
        out.print(str(page), markup=False)
        out.print(str(text), markup=False)
        if not fresh:
            out.print("stale: `whetstone run` brings it up to date", style="yellow")
    if open_it:
        import webbrowser

        webbrowser.open(page.as_uri())


@app.command()
def show(
    subject: Annotated[
        str, typer.Argument(metavar="SET", help="corpus@NAME, rlvr_set@NAME or preferences@NAME.")
    ],
    row: Annotated[int, typer.Option("--row", help="Which row, from 0.", min=0)] = 0,
    file: Annotated[
        str | None,
        typer.Option("--file", help="sft, rl, validation, heldout; of pairs train; default the first."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """One row of a data set as the model reads it: the rendered template, what of it is learnt, what ends a
    response.

    Example: [bold]whetstone show corpus@words --row 3 --file sft[/]
    """
    root = project(as_json)
    from flows.show import NothingToShow, print_shown
    from flows.show import show as find

    try:
        shown = find(root, subject, row, file)
    except NothingToShow as error:
        fail(str(error), 2 if error.usage else 1, as_json)
    except (OSError, ValueError) as error:
        fail(str(error), 1, as_json)
    if as_json:
        print(json.dumps(shown.as_json(), indent=1))
    else:
        print_shown(out, shown)


@app.command()
def ui(
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            help="MLflow's port; Prefect takes the next one. Default: 5000, or what is free.",
            min=1024,
            max=65534,
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Start both, see that they answer, and stop.")
    ] = False,
) -> None:
    """MLflow's and Prefect's pages on this machine's loopback, until Ctrl-C.

    Example: [bold]whetstone ui --port 5000[/]
    """
    from flows.ui import show as open_pages

    raise typer.Exit(open_pages(project(), port, check, out))


@app.command()
def serve(
    name: Annotated[str, typer.Option("--name", help="The deployment's name.")] = "whetstone",
    cron: Annotated[
        str | None, typer.Option("--cron", help="When to run by itself, for example '0 3 * * *'.")
    ] = None,
    interval: Annotated[int | None, typer.Option("--interval", help="Seconds between runs.", min=1)] = None,
    targets: Annotated[
        list[str] | None, typer.Option("--target", help="Stages to bring up to date; may be repeated.")
    ] = None,
) -> None:
    """Register a deployment with the Prefect server (PREFECT_API_URL) and carry out its scheduled and
    hand-triggered runs.

    Example: [bold]PREFECT_API_URL=http://127.0.0.1:4200/api whetstone serve --cron '0 3 * * *'[/]
    """
    from flows.running.serve import serve_deployment

    raise typer.Exit(serve_deployment(project(), name, cron, interval, targets or [], err))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Whether everything that Whetstone needs works here, and how to mend what does not.

    Example: [bold]whetstone doctor[/]
    """
    from flows.doctor import examine, print_findings

    findings = examine(project(as_json))
    if as_json:
        print(json.dumps([finding.as_json() for finding in findings], indent=1))
    else:
        print_findings(out, findings)
    raise typer.Exit(0 if all(finding.ok or not finding.needed for finding in findings) else 1)


@app.command()
def use(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help=(
                "A file name of recipes/ without .yaml, several with + between, or `default`; none: list "
                "them."
            )
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Carry the settings of your own over.")] = False,
    own: Annotated[
        Path | None,
        typer.Option("--own", help="Lay the settings over it that an earlier `use` kept in this file."),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print the params.yaml that would result; write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make params.yaml the recipe as it is; settings of your own are kept aside in a file, or carried over
    with --keep.

    Example: [bold]whetstone use gsm8k_small[/], later [bold]whetstone use default[/]
    """
    own = own.absolute() if own else None
    root = project(as_json)
    from flows.graph import recipes
    from flows.graph.params_file import ParamsError
    from flows.workspace import Busy, only_one_run

    try:
        if recipe is None or show:
            _show_recipes(root, recipe, as_json)
            return
        before = recipes.active(root)
        with only_one_run(root):  # a run that works with params.yaml would find it another
            used = recipes.use(root, recipe, keep, own)
    except ParamsError as error:
        fail(str(error), 2, as_json)
    except (Busy, OSError) as error:
        fail(words_of(error), 1, as_json)
    kept = f"whetstone use {before} --own {used.aside}" if used.aside else None
    if as_json:
        print(
            json.dumps(
                {
                    "recipe": recipe,
                    "changed": used.changed,
                    "supplied": used.supplied,
                    "own": [c.as_json() for c in used.own],
                    "bring_back": kept,
                },
                indent=1,
            )
        )
        return
    for line in used.changed[:CHANGES_SHOWN]:
        out.print(f"  {line}", markup=False)
    if len(used.changed) > CHANGES_SHOWN:
        out.print(f"  … and {len(used.changed) - CHANGES_SHOWN} more (--json has all)", markup=False)
    out.print(
        f"params.yaml now holds {recipe}: {len(used.changed)} values changed. `whetstone plan` shows what "
        f"that means.",
        markup=False,
    )
    if used.supplied:
        out.print(f"taken from the default, for it refers to them: {', '.join(used.supplied)}", markup=False)
    if kept:
        out.print(
            f"settings of your own ({len(used.own)}) are kept in {used.aside}; they come back with: {kept}",
            style="yellow",
            markup=False,
        )


def _show_recipes(root: Path, recipe: str | None, as_json: bool) -> None:
    """The recipes with a line each, or the params.yaml of one."""
    from flows.graph import recipes

    if recipe is not None:
        print(recipes.show(root, recipe), end="")
        return
    found, active = recipes.about(root), recipes.active(root)
    if as_json:
        print(json.dumps({"active": active, "recipes": found}, indent=1))
        return
    width = max(map(len, found))
    for name, line in found.items():
        out.print(f"{'*' if name == active else ' '} {name:<{width}}  {line}", markup=False)


@app.command()
def judge(
    rule: Annotated[
        str,
        typer.Argument(
            help="A reward by its name (`math_answer`, `code_tests`, …), or a judge's model: models/verifier."
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


@app.command()
def params(
    key: Annotated[
        str | None,
        typer.Argument(
            help="As in params.yaml: `rl.ppo.credit`; NAME or * for any name. All sections when left out."
        ),
    ] = None,
    find: Annotated[
        str | None, typer.Option("--find", metavar="WORD", help="Search in names and meanings.")
    ] = None,
    write: Annotated[
        bool,
        typer.Option(
            "--write",
            help="Make docs/parameters.md and the schemas again, after a change of code or dvc.yaml.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What a key of params.yaml means: type, range, default, its value now and where that comes from, unit,
    source.

    Example: [bold]whetstone params rl.common.objective[/], [bold]whetstone params --find clip[/]
    """
    root = project(as_json)
    from flows import params_command, params_page

    if write:
        changed = params_page.write(root)
        print(json.dumps({"written": changed})) if as_json else out.print(
            f"written: {', '.join(changed) or 'nothing, all is up to date'}"
        )
        return
    params_command.show(root, key, find, as_json)


@app.command()
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
    """What was trained but does not count, because something changed while it was trained: where it lies, and
    why.

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


def main() -> None:
    quiet()
    if sys.stdout.encoding and sys.stdout.encoding.lower() not in ("utf-8", "utf8"):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    try:
        app()
    except Exception as error:  # people get a sentence; the traceback goes to a file
        if os.environ.get(DEBUG):
            raise
        sys.exit(unforeseen(error))
    finally:
        # the interpreter looks for garbage as it ends, which among a thousand modules took a fifth of a
        # plan's time
        gc.freeze()


if __name__ == "__main__":
    main()
