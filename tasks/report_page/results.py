"""What the report is made of: the metrics, curves and samples of the models and methods that the parameters
name.

The folders may hold files of other methods from earlier runs; only named ones are read. A missing one is an
error that says who makes it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BASELINE = "sft"  # the model that reinforcement learning starts from

Row = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """Everything on the page; dicts keep the order of params.yaml.

    `evaluations` and `samples` map a model, `curves` and `training` a trained stage (`sft` and each method),
    to what its file holds.
    """

    corpus: str
    models: tuple[str, ...]
    methods: tuple[str, ...]
    counts: Row
    evaluations: dict[str, Row]
    samples: dict[str, list[Row]]
    curves: dict[str, list[Row]]
    training: dict[str, Row]

    @property
    def compared(self) -> tuple[str, ...]:
        """The evaluated methods that can stand beside the baseline."""
        return tuple(name for name in self.models if name in self.methods) if BASELINE in self.models else ()


def read(
    metrics: Path, curves: Path, samples: Path, corpus: str, methods: Sequence[str], models: Sequence[str]
) -> Results:
    """Read the files of the named corpus, methods and models. FileNotFoundError or ValueError names the file
    and its stage.
    """
    trained = {BASELINE: "sft", **{name: f"rl@{name}" for name in methods}}
    return Results(
        corpus=corpus,
        models=tuple(models),
        methods=tuple(methods),
        counts=_object(metrics / "corpus" / f"{corpus}.json", f"corpus@{corpus}"),
        evaluations={
            name: _evaluation(metrics / "evaluate" / f"{name}.json", f"evaluate@{name}") for name in models
        },
        samples={name: _rows(samples / f"{name}.jsonl", f"evaluate@{name}") for name in models},
        curves={name: _rows(curves / f"{name}.jsonl", stage) for name, stage in trained.items()},
        training={
            name: _object(metrics / "train" / f"{name}.json", stage) for name, stage in trained.items()
        },
    )


def _text(path: Path, stage: str) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: missing; the stage {stage} makes it: `whetstone run {stage}`"
        ) from None


def _object(path: Path, stage: str) -> Row:
    try:
        value = json.loads(_text(path, stage))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}: not JSON ({error}); make it again: `whetstone run --force {stage}`"
        ) from None
    if not isinstance(value, dict):
        raise ValueError(
            f"{path}: holds a {type(value).__name__} where an object belongs; make it again: `whetstone run "
            f"--force {stage}`"
        )
    return value


def _evaluation(path: Path, stage: str) -> Row:
    value = _object(path, stage)
    heldout = value.get("heldout", {})
    missing = [decoding for decoding in ("greedy", "sampled") if decoding not in heldout]
    if missing:
        raise ValueError(f"{path}: no heldout.{missing[0]}; make it again: `whetstone run --force {stage}`")
    return value


def _rows(path: Path, stage: str) -> list[Row]:
    rows = []
    for number, line in enumerate(_text(path, stage).split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path}:{number}: not JSON ({error}); make it again: `whetstone run --force {stage}`"
            ) from None
    return rows
