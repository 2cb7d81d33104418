"""`whetstone report`, `show`, `ui`, `serve`: pages, rows of data, servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.command_line import err, fail, make_plan, out, project
from flows.commands.options import AsJson


def report(
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    live: Annotated[
        bool,
        typer.Option("--live", help="Of the run that is on, or was the last: plan, curves, samples so far."),
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="With --live: write the page again until the run has ended.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show where the report lies, whether it is fresh, and its headline.

    Example: [bold]whetstone report --open[/]
    """
    root = project(as_json)
    if watch and not live:
        fail("--watch goes with --live", 2, as_json)
    if live:
        raise typer.Exit(_live(root, open_it, watch, as_json))
    page, text = root / "reports" / "index.html", root / "reports" / "report.md"
    if not page.exists() or not text.exists():
        fail("there is no report yet; make it with `whetstone run`", 1, as_json)
    from flows.plan_table import headline

    fresh = all(row.action == "keep" for row in make_plan(root, ["report"], False, as_json).rows)
    lines = headline(text.read_text("utf-8"))
    if as_json:
        print(json.dumps({"page": str(page), "markdown": str(text), "fresh": fresh, "headline": lines}))
    else:
        for line in lines:
            out.print(line, markup=False)
        out.print(str(page), markup=False)
        out.print(str(text), markup=False)
        if not fresh:
            out.print("stale: `whetstone run` brings it up to date", style="yellow")
    if open_it:
        import webbrowser

        webbrowser.open(page.as_uri())


def _live(root: Path, open_it: bool, watch: bool, as_json: bool) -> int:
    """Write the live report, say where it lies, and with `watch` write it again until the run has ended."""
    from flows.running import now
    from flows.running.live_report import location
    from flows.running.live_report.page import STATES, write
    from flows.running.live_report.watch import watch as keep_on

    runs = now.state(now.latest(root)) == "running"
    planned = None if runs else [row.as_json() for row in make_plan(root, None, False, as_json).rows]
    snapshot, page = write(root, planned), location(root)
    if as_json:
        stages = {stage.name: stage.state for stage in snapshot.stages}
        print(json.dumps({"page": str(page), "run": snapshot.run, "state": snapshot.state, "stages": stages}))
    else:
        out.print(
            f"run {snapshot.run}: {STATES[snapshot.state]}" if snapshot.run else STATES[""], markup=False
        )
        out.print(str(page), markup=False)
    if open_it:
        import webbrowser

        webbrowser.open(page.as_uri())
    return keep_on(root) if watch and runs else 0


def show(
    subject: Annotated[
        str, typer.Argument(metavar="SET", help="A set by its name, or the stage that makes it.")
    ],
    row: Annotated[int, typer.Option("--row", help="Which row, from 0.", min=0)] = 0,
    file: Annotated[
        str | None,
        typer.Option("--file", help="sft, rl, validation, heldout; of pairs train; default the first."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Whose tokenizer and template; default: a model that learns from it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one row of a data set as a model reads it: the rendered template, what of it is learnt, what ends
    a response.

    Example: [bold]whetstone show words --row 3 --file sft --model base[/]
    """
    root = project(as_json)
    from flows.show import NothingToShow, print_shown
    from flows.show import show as find

    try:
        shown = find(root, subject, row, file, model)
    except NothingToShow as error:
        fail(str(error), 2 if error.usage else 1, as_json)
    except (OSError, ValueError) as error:
        fail(str(error), 1, as_json)
    if as_json:
        print(json.dumps(shown.as_json(), indent=1))
    else:
        print_shown(out, shown)


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
    """Serve MLflow's and Prefect's pages on this machine's loopback, until Ctrl-C.

    Example: [bold]whetstone ui --port 5000[/]
    """
    from flows.ui import show as open_pages

    raise typer.Exit(open_pages(project(), port, check, out))


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
