"""What the report is made of: the metrics, curves and samples of the models and methods that the parameters
name.

The folders may hold files of other methods from earlier runs; only named ones are read. A missing one is an
error that says who makes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.rl_params import NONE

Row = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """Everything on the page; dicts keep the order of params.yaml.

    `data` is the set that the page is about, `baseline` the model that its methods start from (both may be
    empty). `evaluations` and `samples` map a model, `curves` and `training` a trained one (the baseline and
    each method), to what its file holds. `others` are evaluations on other sets, by the evaluation's name.
    """

    data: str
    baseline: str
    models: tuple[str, ...]
    methods: tuple[str, ...]
    counts: Row
    evaluations: dict[str, Row]
    samples: dict[str, list[Row]]
    curves: dict[str, list[Row]]
    training: dict[str, Row]
    others: dict[str, Row]

    @property
    def compared(self) -> tuple[str, ...]:
        """The evaluated methods that can stand beside the baseline."""
        return (
            tuple(name for name in self.models if name in self.methods)
            if self.baseline in self.models
            else ()
        )


@dataclass(frozen=True)
class ReportSubject:
    """What the page is about, as the parameters name it. `evaluated`: model -> its evaluation on `data`;
    `others`: evaluations on other sets; `tuned`: whether the baseline is a run of sft, and has a curve.
    """

    data: str
    baseline: str
    tuned: bool
    methods: tuple[str, ...]
    evaluated: Mapping[str, str]
    others: tuple[str, ...]

    @classmethod
    def of(
        cls, evaluations: Mapping[str, Any], runs: Mapping[str, Any], tunings: Mapping[str, Any]
    ) -> ReportSubject:
        """The set of the first evaluation; the runs of rl on it that a rule rewards; where they start."""
        data = next((run["data"] for run in evaluations.values()), "")
        methods = {
            name: run for name, run in runs.items() if run["data"] == data and run.get("judge", NONE) == NONE
        }
        first = next(iter(tunings), "")
        baseline = next((run["start"] for run in methods.values()), first)
        evaluated: dict[str, str] = {}
        for name, run in evaluations.items():
            if run["data"] == data:
                evaluated.setdefault(run["model"], name)
        others = tuple(name for name, run in evaluations.items() if run["data"] != data)
        return cls(data, baseline, baseline in tunings, tuple(methods), evaluated, others)


def read(metrics: Path, curves: Path, samples: Path, subject: ReportSubject) -> Results:
    """Read the files of what the parameters name. FileNotFoundError or ValueError names the file and its
    stage.
    """
    trained = {subject.baseline: f"sft@{subject.baseline}"} if subject.tuned else {}
    trained |= {name: f"rl@{name}" for name in subject.methods}
    evaluations = {
        model: _evaluation(metrics / "evaluate" / f"{name}.json", f"evaluate@{name}")
        for model, name in subject.evaluated.items()
    }
    return Results(
        data=subject.data,
        baseline=subject.baseline,
        models=tuple(subject.evaluated),
        methods=subject.methods,
        counts=_counts(metrics, subject.data),
        evaluations=evaluations,
        samples={
            model: _rows(samples / f"{name}.jsonl", f"evaluate@{name}")
            for model, name in subject.evaluated.items()
        },
        curves={name: _rows(curves / f"{name}.jsonl", stage) for name, stage in trained.items()},
        training={
            name: _object(metrics / "train" / f"{name}.json", stage) for name, stage in trained.items()
        },
        others={
            name: _evaluation(metrics / "evaluate" / f"{name}.json", f"evaluate@{name}")
            for name in subject.others
        },
    )


def _counts(metrics: Path, data: str) -> Row:
    """Of a corpus; multi-subject sets have a section of their own on the page."""
    if not data or (metrics / "rlvr_set" / f"{data}.json").is_file():
        return {}
    return _object(metrics / "corpus" / f"{data}.json", f"corpus@{data}")


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
