"""Sets with questions for verifiers: of sources, by a hash of the key; of published exams, by cluster; and
answers in other words than the reference's.

Exploration and RL share no question, since a verifier's prompts are never reused (reward_bridge.md 1.4, 4.1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Protocol

from pipelines.corpora.cleaning.canonical import loose_form
from pipelines.corpora.cleaning.clean import CleanRow
from pipelines.corpora.cleaning.split import hash_fraction
from pipelines.corpora.corpus_params import CorpusParams, VerifierShares, WordingParams
from pipelines.corpora.exams.exam_set import read_exams, unite
from pipelines.corpora.exams.item import ExamQuestion
from pipelines.corpora.raw.problem import Problem
from pipelines.corpora.raw.published import MARKER
from pipelines.seams import load

FILES = ("sft", "explore", "rl", "calib", "validation", "heldout")


@dataclass(frozen=True)
class PlacedRows:
    """Rows, each with the files that it is written to and the reasons why it is not written to others;
    `read`: the number of rows read; `lost`: those lost, by reason; `metrics`: counts for the metrics.
    """

    rows: Iterable[tuple[CleanRow, Sequence[str], Sequence[str]]]
    read: int
    lost: Counter[str]
    metrics: Mapping[str, Any]


class Wording(Protocol):
    """The interface of a module that paraphrases answers."""

    def paraphrases(self, reference: str) -> list[str]:
        """Returns right answers in different words, the reference first."""
        ...

    def near_misses(self, question: str, reference: str, rng: Random) -> list[str]:
        """Returns wrong answers that are close to the reference."""
        ...


def verifier_file(problem: Problem, shares: VerifierShares) -> str:
    """Returns the file (explore, calib or rl) of a question that could be used for RL."""
    position = hash_fraction("rlvr:" + (problem.key or loose_form(problem.question)))
    if position < shares.explore:
        return "explore"
    return "calib" if position < shares.explore + shares.calib else "rl"


class Reworded:
    """Maps (row, file) to the row as that file holds it: demonstrations state the answer on their last line,
    a share of them in other words than the reference's; questions of exploration, calibration and the
    held-out file have right and wrong variants of their answer in `meta`.
    """

    def __init__(self, params: WordingParams, seed: int) -> None:
        self._wording: Wording = load("pipelines.rewards", params.module)  # type: ignore[assignment]
        self._share, self._seed = params.share, seed

    def __call__(self, row: CleanRow, file: str) -> CleanRow:
        if file == "sft":
            return _other_words(row, self._wording, self._share, self._seed)
        if file in ("explore", "calib", "heldout"):
            return _with_variants(row, self._wording, self._seed)
        return row


def exam_rows(params: CorpusParams, root: Path) -> PlacedRows:
    """Returns the united questions of published exams; those of RL are also demonstrations of their
    reference. Raises FileNotFoundError, naming an exam that is not there.
    """
    assert params.exams is not None
    files = {name: root / name / "questions.jsonl" for name in (*params.exams.exams, *params.exams.against)}
    for name, path in files.items():
        if not path.is_file():
            raise FileNotFoundError(
                f"no file {path}: exams {name} is no key of the section exams, or its stage has not run"
            )
    other_questions = {
        name: [exam.question for exam in read_exams(files[name])] for name in params.exams.against
    }
    united = unite(
        {name: read_exams(files[name]) for name in params.exams.exams}, params.exams, other_questions
    )
    placed: list[tuple[CleanRow, Sequence[str], Sequence[str]]] = []
    for split, file in (("explore", "explore"), ("rl", "rl"), ("calib", "calib"), ("test", "heldout")):
        for exam in united.splits[split]:  # type: ignore[index]
            if file != "heldout" and exam.subject in params.unseen:
                continue
            is_validation = file == "rl" and hash_fraction("validation:" + exam.key) < params.validation_share
            row = CleanRow(exam.source, _problem(exam, file == "rl" and not is_validation))
            row_files = ["validation"] if is_validation else ["sft", "rl"] if file == "rl" else [file]
            placed.append((row, row_files, ()))
    losses = Counter[str](united.metrics["duplicates"])
    del losses["clusters"], losses["disagreeing_clusters"]
    for sets in united.metrics["contamination"].values():
        for by_reason in sets.values():
            losses.update({f"held elsewhere by {reason}": number for reason, number in by_reason.items()})
    distinct_rows = len({row.id for row, _, _ in placed})
    losses["unseen subject"] = united.metrics["limited"] - losses.total() - distinct_rows
    return PlacedRows(placed, united.metrics["limited"], losses, {"united": united.metrics})


def _problem(exam: ExamQuestion, demonstrated: bool) -> Problem:
    meta = {"field": exam.field, "shape": exam.shape, "language": exam.language} | dict(exam.meta)
    solution = exam.answer if demonstrated else None
    return Problem(exam.question, exam.answer, "rl", exam.subject, solution, key=exam.key, meta=meta)


def _other_words(row: CleanRow, wording: Wording, share: float, seed: int) -> CleanRow:
    """Returns the row with its answer paraphrased, with probability `share`."""
    rng, solution = Random(f"wording:{seed}:{row.id}"), row.problem.solution or ""
    paraphrases = wording.paraphrases(row.problem.answer)
    answer = rng.choice(paraphrases[1:]) if len(paraphrases) > 1 and rng.random() < share else paraphrases[0]
    return replace(row, problem=replace(row.problem, solution=solution.partition(MARKER)[0] + answer))


def _with_variants(row: CleanRow, wording: Wording, seed: int) -> CleanRow:
    """Returns the row with right and wrong variants of its answer in `meta`."""
    problem = row.problem
    right = wording.paraphrases(problem.answer)[1:]
    wrong = wording.near_misses(problem.question, problem.answer, Random(f"near:{seed}:{row.id}"))
    return replace(row, problem=replace(problem, meta=dict(problem.meta) | {"right": right, "wrong": wrong}))
