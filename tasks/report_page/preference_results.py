"""What the report says of preferences is made of: every metrics file of that branch which is there.

Its stages are not in every graph, so a missing file is no error; a file that cannot be read is one. Where the
parameters name the models, others' files, left from earlier runs, are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class PreferenceResults:
    """File contents by the name of a set, a reward model, an assessed model, a board of matches, a trained
    run; `theory` may be None.
    """

    sets: dict[str, Row]
    reward_models: dict[str, Row]
    assessed: dict[str, Row]
    boards: dict[str, Row]
    curves: dict[str, list[Row]]
    training: dict[str, Row]
    theory: Row | None


def read(
    metrics: Path, curves: Path, skip: Collection[str], named: Mapping[str, Collection[str]]
) -> PreferenceResults:
    """Read what is there. `skip`: runs that the rest of the page shows; `named`: folder of metrics -> the
    names that may be shown, for folders whose names the parameters give. ValueError names the file and its
    stage.
    """

    def folder(name: str, stage: str) -> dict[str, Row]:
        paths = sorted((metrics / name).glob("*.json"), key=lambda path: _order(path.stem))
        return {
            path.stem: _object(path, f"{stage}@{path.stem}")
            for path in paths
            if path.stem in named.get(name, (path.stem,))
        }

    training = {name: value for name, value in folder("train", "the run of").items() if name not in skip}
    theory = metrics / "dpo_theory.json"
    return PreferenceResults(
        sets=folder("preferences", "preferences"),
        reward_models=folder("reward_report", "reward_report"),
        assessed=folder("assess", "assess"),
        boards=folder("wins", "wins"),
        curves={
            name: _rows(curves / f"{name}.jsonl") for name in training if (curves / f"{name}.jsonl").is_file()
        },
        training=training,
        theory=_object(theory, "dpo_theory") if theory.is_file() else None,
    )


def _order(name: str) -> tuple[Any, ...]:
    """`dpo_iter_10` after `dpo_iter_2`."""
    return tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in name.replace("-", "_").split("_")
    )


def _object(path: Path, stage: str) -> Row:
    try:
        value = json.loads(path.read_text("utf-8"))
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


def _rows(path: Path) -> list[Row]:
    rows = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path}:{number}: not JSON ({error}); run the stage that makes it again"
            ) from None
    return rows
