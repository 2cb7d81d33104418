"""Arguments and options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Targets = Annotated[
    list[str] | None,
    typer.Argument(help="Stages (`sft`, `rl@grpo`, or `rl` for all of them); everything when left out."),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Try every stage on a few rows with a tiny model; predict memory, disk and time.",
    ),
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", help="Stages at once; default execution.jobs.", min=0)]
Name = Annotated[
    str,
    typer.Option(
        "--name", "-n", help="The run's name, here, in Prefect and in MLflow; default RECIPE-DATE-TIME."
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the stages' own output.")]
Subject = Annotated[
    str,
    typer.Argument(
        help="models/sft, a copied-out checkpoint folder, or a registered model: sft, sft:3, sft@alias."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
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
