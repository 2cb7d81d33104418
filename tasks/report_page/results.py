"""Reads the metrics, curves and samples of the models and methods that the parameters name.

Files of other methods from earlier runs are ignored. A missing file is an error that names the stage that
makes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.report_page.comparison import Accuracy, means_by_question
from tasks.report_page.files import Row, read_object, read_rows
from tasks.report_page.stages import ReportedStages
from tasks.rl_params import NONE

# parts of the report, which the `meta` of stages in dvc.yaml names
ACCURACY, CORPUS, TUNED, METHODS = "accuracy", "corpus_counts", "fine_tuning", "methods"
UNSEEN = "unseen_subjects"  # in the metrics of sets with questions for verifiers


@dataclass(frozen=True)
class Results:
    """All results on the page; dicts keep the order of params.yaml.

    `data` is the set that the page is about, `baseline` the model that its methods start from (both may be
    empty). `evaluations` and `samples` map a model, `curves` and `training` a trained one (the baseline and
    each method), to the content of its file; `policies` every run of rl that was made, also those that a
    model rewards or that learn from another set. `others` are evaluations on other sets, by the evaluation's
    name. `makers`: the stages that may have made a model.
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
    policies: dict[str, Row]
    others: dict[str, Row]
    other_samples: dict[str, list[Row]]
    makers: Mapping[str, tuple[str, ...]]

    @property
    def compared(self) -> tuple[str, ...]:
        """The evaluated methods that can be compared with the baseline."""
        return (
            tuple(name for name in self.models if name in self.methods)
            if self.baseline in self.models
            else ()
        )

    def accuracy(self, model: str, decoding: str, part: str = "", key: str = "") -> Accuracy | None:
        """Returns the accuracy of a model (`decoding`: greedy or sampled), of one subject or level where
        `part` (by_subject, by_level) and `key` say which; None where it was not evaluated.
        """
        evaluation = self.evaluations.get(model, {})
        figures = (evaluation.get(part) or {}).get(key) or {} if part else evaluation.get("heldout", {})
        column = part.removeprefix("by_")
        rows = (
            row
            for row in self.samples.get(model, ())
            if row["decoding"] == decoding and (not part or str(row.get(column)) == key)
        )
        return Accuracy.of(figures.get(decoding), judged(rows, evaluation))


def judged(rows: Iterable[Row], evaluation: Row) -> dict[str, float]:
    """Returns the share right of each question in an evaluation's answers; errors count as its setting
    `on_error` says.
    """
    counted = (evaluation.get("settings") or {}).get("on_error") == "wrong"
    kept = (row for row in rows if counted or row["verdict"] != "error")
    return means_by_question((row["id"], row["verdict"] == "right") for row in kept)


@dataclass(frozen=True)
class ReportSubject:
    """The subject of the page, as the parameters name it. `methods`: the runs of rl that are compared, and
    `runs` all of them; `evaluated`: model -> its evaluation on `data`; `others`: evaluations on other sets;
    `tuned`: whether the baseline is a run of sft, and has a curve.
    """

    data: str
    baseline: str
    tuned: bool
    methods: tuple[str, ...]
    runs: tuple[str, ...]
    evaluated: Mapping[str, str]
    others: tuple[str, ...]

    @classmethod
    def of(
        cls, evaluations: Mapping[str, Any], runs: Mapping[str, Any], tunings: Mapping[str, Any]
    ) -> ReportSubject:
        """Returns the subject: the set of the first evaluation, the runs of rl on it that a rule rewards, and
        the model that they start from.
        """
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
        return cls(data, baseline, baseline in tunings, tuple(methods), tuple(runs), evaluated, others)


def read(
    stages: ReportedStages, metrics: Path, curves: Path, samples: Path, subject: ReportSubject
) -> Results:
    """Reads the files of what the parameters name. Raises FileNotFoundError or ValueError, naming file and
    stage.
    """
    trained = {
        name: stages.find(part, name, metrics)
        for part, names in ((TUNED, (subject.baseline,) if subject.tuned else ()), (METHODS, subject.methods))
        for name in names
    }
    evaluated = {
        name: stages.find(ACCURACY, name, metrics) for name in (*subject.evaluated.values(), *subject.others)
    }
    policies = stages.read(METHODS, metrics, dict.fromkeys(stages.sections(METHODS), subject.runs))
    return Results(
        data=subject.data,
        baseline=subject.baseline,
        models=tuple(subject.evaluated),
        methods=subject.methods,
        counts=_counts(stages, metrics, subject.data),
        evaluations={model: _evaluation(*evaluated[name]) for model, name in subject.evaluated.items()},
        samples={
            model: read_rows(samples / f"{name}.jsonl", evaluated[name][1])
            for model, name in subject.evaluated.items()
        },
        curves={name: read_rows(curves / f"{name}.jsonl", stage) for name, (_, stage) in trained.items()},
        training={name: read_object(*location) for name, location in trained.items()},
        policies={name: policies[name] for name in subject.runs if name in policies},
        others={name: _evaluation(*evaluated[name]) for name in subject.others},
        other_samples={
            name: read_rows(path, evaluated[name][1])
            for name in subject.others
            if (path := samples / f"{name}.jsonl").is_file()
        },
        makers={name: stages.makers(name, "policy") for name in (*subject.evaluated, *subject.methods)},
    )


def _counts(stages: ReportedStages, metrics: Path, data: str) -> Row:
    """Returns the counts of a corpus; empty for sets with questions for verifiers, which have a section of
    their own.
    """
    if not data:
        return {}
    counts = read_object(*stages.find(CORPUS, data, metrics))
    return {} if UNSEEN in counts else counts


def _evaluation(path: Path, stage: str) -> Row:
    value = read_object(path, stage)
    heldout = value.get("heldout", {})
    missing = [decoding for decoding in ("greedy", "sampled") if decoding not in heldout]
    if missing:
        raise ValueError(f"{path}: no heldout.{missing[0]}; make it again: `whetstone run --force {stage}`")
    return value
