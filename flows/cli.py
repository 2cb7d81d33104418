"""`whetstone` and its commands, in the order in which `--help` lists them.

Exit codes: 0 fresh or done, 1 something failed or does not verify, 2 bad usage or parameters. The
commands themselves are in `flows/commands/`.
"""

from __future__ import annotations

import gc
import os
import sys

import typer

from flows.command_line import DEBUG, report_unexpected
from flows.commands.asking import chat, sample, serve_model
from flows.commands.data import fetch
from flows.commands.exporting import export
from flows.commands.graph import doctor, plan, run, status
from flows.commands.models import aside, audit, judge, lineage
from flows.commands.new import new
from flows.commands.pages import report, serve, show, ui
from flows.commands.settings import params, use
from flows.commands.side_by_side import compare, sweep
from pipelines.quiet import quiet

gc.set_threshold(100_000)  # imports make many objects that stay: looking for garbage among them is wasted

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Whetstone: one graph from raw data to an audited checkpoint.",
)
for command in (
    new,
    plan,
    run,
    status,
    compare,
    sweep,
    lineage,
    audit,
    report,
    show,
    ui,
    serve,
    doctor,
    use,
    fetch,
    judge,
    params,
    aside,
    chat,
    sample,
    serve_model,
    export,
):  # in the order in which --help lists them
    app.command()(command)


def main() -> None:
    quiet()
    if sys.stdout.encoding and sys.stdout.encoding.lower() not in ("utf-8", "utf8"):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    try:
        app()
    except Exception as error:  # people get a sentence; the traceback goes to a file
        if os.environ.get(DEBUG):
            raise
        sys.exit(report_unexpected(error))
    finally:
        # the interpreter looks for garbage as it ends, which among a thousand modules took a fifth of a
        # plan's time
        gc.freeze()


if __name__ == "__main__":
    main()
