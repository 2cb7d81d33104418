"""A multi-subject set: rows of exams or other sources -> demonstrations, exploration, RL, calibration,
validation and held-out records.

The split goes by cluster or key, never by row; exploration and RL share no question, since a verifier's
prompts are never reused (reward_bridge.md 1.4, 4.1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Protocol

from pipelines.corpora.build import example_of
from pipelines.corpora.canonical import loose
from pipelines.corpora.clean import Row, clean, losses, rows_read
from pipelines.corpora.example import Example, write_examples
from pipelines.corpora.exams.exam_set import read_exams, unite
from pipelines.corpora.exams.item import Exam
from pipelines.corpora.ledger import Ledger
from pipelines.corpora.problem import Problem, Reading
from pipelines.corpora.published import MARKER
from pipelines.corpora.rlvr_set_params import RlvrSetParams
from pipelines.corpora.rows_kept import rows_kept
from pipelines.corpora.set_rules import SetRules
from pipelines.corpora.split import Shares, fraction
from pipelines.seams import load
from pipelines.sources.opening import Opener, unrecorded

FILES = ("sft", "explore", "rl", "calib", "validation", "heldout")
Rows = dict[str, list[Row]]


class Wording(Protocol):
    """What a module of variants offers."""

    def paraphrases(self, reference: str) -> list[str]: ...

    def near_misses(self, question: str, reference: str, rng: Random) -> list[str]: ...


def read_rows(
    params: RlvrSetParams, root: Path, seed: int, open_source: Opener = unrecorded
) -> tuple[Rows, dict[str, Any]]:
    """Rows by file, and the counts. OSError or ValueError where the raw data cannot be used; all name file
    and way out.
    """
    return (
        _from_exams(params, root)
        if params.exams is not None
        else _from_sources(params, root, seed, open_source)
    )


def reworded(rows: Rows, wording: Wording, share: float, seed: int) -> Rows:
    """Demonstrations that state the answer on their last line, `share` of them in other words than the
    reference's; and questions of exploration, calibration and the held-out file with right and wrong variants
    of their answer in `meta`.
    """
    result = dict(rows)
    result["sft"] = [_other_words(row, wording, share, seed) for row in rows["sft"]]
    for file in ("explore", "calib", "heldout"):
        result[file] = [_with_variants(row, wording, seed) for row in rows[file]]
    return result


def write_set(
    name: str, rows: Rows, params: RlvrSetParams, metrics: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    """Write the rows of every file as text; returns the counts. ValueError where a file is empty that must
    not be.
    """
    ledger = Ledger("texts")
    examples: dict[str, list[Example]] = {file: [] for file in FILES}
    for file in FILES:
        for row in rows[file]:
            try:
                examples[file].append(example_of(row))
            except ValueError as fault:
                ledger.reject(row.problem.where or row.id, str(fault))
            else:
                ledger.accept()
    ledger.check(params.max_bad_rows)
    for file in ("explore", "rl", "calib", "heldout"):
        if not examples[file]:
            raise ValueError(
                f"rlvr_set.{name} has no {file} questions left; look at its shares and its sources"
            )
    folder.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        write_examples(folder / f"{file}.jsonl", examples[file])
    SetRules(
        max_prompt_tokens=params.max_prompt_tokens,
        max_response_tokens=params.max_response_tokens,
        max_bad_rows=params.max_bad_rows,
        reward=params.reward,
        answers=True,
    ).write(folder)
    subjects = {file: dict(sorted(Counter(one.subject for one in examples[file]).items())) for file in FILES}
    lost = Counter[str](metrics["lost"])
    lost["not_encodable"] += ledger.bad
    return {
        "set": name,
        "rows": rows_kept(metrics["read"], lost, "questions"),
        **{key: value for key, value in metrics.items() if key not in ("read", "lost")},
        "records": {file: len(examples[file]) for file in FILES},
        "subjects": subjects,
        "unseen_subjects": sorted(set(subjects["heldout"]) - set(subjects["rl"]) - set(subjects["explore"])),
        "fields": {
            file: dict(sorted(Counter(str(one.meta.get("field")) for one in examples[file]).items()))
            for file in FILES
        },
    }


def _from_exams(params: RlvrSetParams, root: Path) -> tuple[Rows, dict[str, Any]]:
    assert params.exams is not None
    files = {name: root / name / "questions.jsonl" for name in (*params.exams.exams, *params.exams.against)}
    for name, path in files.items():
        if not path.is_file():
            raise FileNotFoundError(
                f"no file {path}: exams {name} is no key of the section exams, or its stage has not run"
            )
    elsewhere = {name: [exam.question for exam in read_exams(files[name])] for name in params.exams.against}
    united = unite({name: read_exams(files[name]) for name in params.exams.exams}, params.exams, elsewhere)
    rows: Rows = {file: [] for file in FILES}
    for split, file in (("explore", "explore"), ("rl", "rl"), ("calib", "calib"), ("test", "heldout")):
        exams = united.splits[split]  # type: ignore[index]
        kept = [exam for exam in exams if file == "heldout" or exam.subject not in params.unseen]
        for exam in kept:
            aside = file == "rl" and fraction("validation:" + exam.key) < params.validation_share
            rows["validation" if aside else file].append(Row(exam.source, _problem(exam)))
    rows["sft"] = [Row(row.source, replace(row.problem, solution=row.problem.answer)) for row in rows["rl"]]
    losses = Counter[str](united.metrics["duplicates"])
    del losses["clusters"], losses["disagreeing_clusters"]
    for sets in united.metrics["contamination"].values():
        for found in sets.values():
            losses.update({f"held elsewhere by {reason}": number for reason, number in found.items()})
    left = len({row.id for own in rows.values() for row in own})
    losses["unseen subject"] = united.metrics["limited"] - losses.total() - left
    return rows, {"united": united.metrics, "read": united.metrics["limited"], "lost": losses}


def _problem(exam: Exam) -> Problem:
    meta = {"field": exam.field, "shape": exam.shape, "language": exam.language} | dict(exam.meta)
    return Problem(exam.question, exam.answer, "rl", exam.subject, key=exam.key, meta=meta)


def _from_sources(
    params: RlvrSetParams, root: Path, seed: int, open_source: Opener
) -> tuple[Rows, dict[str, Any]]:
    corpus, ledgers = params.corpus, {}
    found: dict[str, list[Problem]] = {}
    for name, source in corpus.sources.items():
        ledger = ledgers[name] = Ledger(name)
        shares = Shares(params.validation_share, params.heldout_share)
        reading = Reading(root, name, seed, shares, ledger, "rlvr_set.<name>.origin", open_source)
        found[name] = list(load("pipelines.corpora.readers", source.reader).read(source, reading))
        ledger.check(params.max_bad_rows)
    tidy = clean(found, corpus)
    rows: Rows = {file: [] for file in FILES}
    for role in ("validation", "heldout"):
        rows[role] = list(tidy.rows[role])
    rows["sft"] = [
        row for role in ("sft", "train") for row in tidy.rows[role] if row.problem.solution is not None
    ]
    for row in (*tidy.rows["rl"], *tidy.rows["train"]):
        place = fraction("rlvr:" + (row.problem.key or loose(row.problem.question)))
        calib = place < params.explore_share + params.calib_share
        rows["explore" if place < params.explore_share else "calib" if calib else "rl"].append(row)
    steps = {step: dict(sorted(counts.items())) for step, counts in sorted(tidy.counts.items())}
    lost = losses(tidy, ledgers.values())
    lost["no demonstration"] = sum(row.problem.solution is None for row in tidy.rows["sft"])
    return rows, {
        "sources": {name: ledger.summary() for name, ledger in ledgers.items()},
        **steps,
        "read": rows_read(tidy, ledgers.values()),
        "lost": lost,
    }


def _other_words(row: Row, wording: Wording, share: float, seed: int) -> Row:
    rng, solution = Random(f"wording:{seed}:{row.id}"), row.problem.solution or ""
    said = wording.paraphrases(row.problem.answer)
    answer = rng.choice(said[1:]) if len(said) > 1 and rng.random() < share else said[0]
    return replace(row, problem=replace(row.problem, solution=solution.partition(MARKER)[0] + answer))


def _with_variants(row: Row, wording: Wording, seed: int) -> Row:
    problem = row.problem
    right = wording.paraphrases(problem.answer)[1:]
    wrong = wording.near_misses(problem.question, problem.answer, Random(f"near:{seed}:{row.id}"))
    return replace(row, problem=replace(problem, meta=dict(problem.meta) | {"right": right, "wrong": wrong}))
