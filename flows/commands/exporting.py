"""`whetstone export`: a model for the world outside."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.command_line import fail, out
from flows.commands.asking import Model


class Target(StrEnum):
    folder = "folder"
    gguf = "gguf"
    hub = "hub"


class Precision(StrEnum):
    f32 = "f32"
    f16 = "f16"
    bf16 = "bf16"


def export(
    model: Model,
    to: Annotated[
        Target, typer.Option("--to", help="A folder of transformers, a GGUF file, the Hugging Face hub.")
    ],
    target: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Default: exports/NAME or NAME-gguf.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="The model's own licence, for the card: apache-2.0.")
    ] = None,
    unverified: Annotated[
        bool,
        typer.Option("--unverified", help="Export though its lineage does not verify; the card says so."),
    ] = False,
    precision: Annotated[Precision, typer.Option("--precision", help="Of a GGUF file.")] = Precision.f16,
    converter: Annotated[
        Path | None, typer.Option("--converter", help="llama.cpp's convert_hf_to_gguf; default: from PATH.")
    ] = None,
    repository: Annotated[
        str | None, typer.Option("--repo", metavar="OWNER/NAME", help="Of the hub; the token is HF_TOKEN's.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public.")] = False,
) -> None:
    """Export a model with a card made from its lineage and evaluations: base model, data, settings,
    accuracy with intervals, how to verify.

    Example: [bold]whetstone export grpo --to folder[/], [bold]whetstone export grpo --to hub --repo
    me/grpo[/]
    """
    from flows.export.folder import exportable, to_folder
    from flows.local_model import current_root

    try:
        exported = exportable(model, current_root(), licence, unverified)
        name = exported.facts.name
        if to is Target.hub:
            from flows.export.hub import to_hub

            said = to_hub(exported, repository, public)
        elif to is Target.gguf:
            from flows.export.gguf import to_gguf

            place = target or Path("exports") / f"{name}-gguf"
            said = f"{place}: {to_gguf(exported, place, precision.value, converter)}"
        else:
            place = target or Path("exports") / name
            to_folder(exported, place)
            said = f"{place}: the model, its card and lineage.json"
    except (ValueError, OSError, RuntimeError) as error:
        fail(str(error), 2)
    out.print(said, markup=False)
