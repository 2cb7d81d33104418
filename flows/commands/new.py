"""`whetstone new`: a recipe for a model and data of the user's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.command_line import error_message, fail, out, own_stdout, project, rehearse
from flows.commands.options import AsJson, DryRun


def new(
    name: Annotated[str, typer.Argument(help="The recipe's name; recipes/NAME.yaml is written.")],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="PATH|HUB_ID|FILE.gguf",
            help="A folder as transformers saves it, a .gguf file, or an id of a hub.",
        ),
    ],
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            metavar="FILE…",
            help="JSON Lines, JSON, CSV, Parquet, a folder of them, a `datasets` folder or id.",
        ),
    ],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE…]", help="More data, after the first --data.")
    ] = None,
    reward: Annotated[
        str,
        typer.Option(
            "--reward",
            metavar="FILE.py:FUNCTION",
            help="What responses are judged by; or the name of a rule.",
        ),
    ] = "",
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="sft|dpo|grpo|…",
            help="May be repeated, in the order of the chain; default: those that the data serves.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            min=1,
            help="Choose sizes (iterations, steps, prompts, new tokens) that end within so many here.",
        ),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Look at a model and data, say what was understood row by row, and write a recipe that runs as it is.

    A file whose name says test, heldout or validation is kept for that; without one a share of the rows is.

    Example: [bold]whetstone new shop --model assets/llm --data raw/shop/train.jsonl raw/shop/test.jsonl[/]
    """
    cwd = Path.cwd()
    root = project(as_json)
    from flows.graph import recipes
    from flows.graph.params_file import ParamsError
    from flows.new.data import NewError
    from flows.new.project import new as make
    from flows.new.project import print_made
    from pipelines.corpora.layouts import UnknownLayout

    try:
        with own_stdout():  # libraries greet on standard output
            made = make(root, name, model, [*data, *(more or [])], cwd, reward, method or [], minutes)
    except (NewError, UnknownLayout, ParamsError) as error:
        fail(str(error), 2, as_json)
    except OSError as error:
        fail(error_message(error), 1, as_json)
    if not as_json:
        print_made(out, made)
    if dry_run:
        text = recipes.show(root, name)
        raise typer.Exit(rehearse(root, text, as_json, made.as_json()))
    if as_json:
        print(json.dumps(made.as_json(), indent=1, ensure_ascii=False))
