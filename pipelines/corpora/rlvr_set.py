"""A multi-subject set: rows of exams or other sources -> demonstrations, exploration, RL, calibration,
validation and held-out records.

The split goes by cluster or key, never by row; exploration and RL share no question, since a verifier's
prompts are never reused (reward_bridge.md 1.4, 4.1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Protocol

from pipelines.corpora.canonical import loose
from pipelines.corpora.clean import Row, clean, losses, rows_read
from pipelines.corpora.exams.exam_set import read_exams, unite
from pipelines.corpora.exams.item import Exam
from pipelines.corpora.ledger import Ledger
from pipelines.corpora.problem import Problem, Reading
from pipelines.corpora.published import MARKER
from pipelines.corpora.record import Record
from pipelines.corpora.rendering import NotEncodable, record_of
from pipelines.corpora.rlvr_set_params import RlvrSetParams
from pipelines.corpora.rows_kept import rows_kept
from pipelines.corpora.split import Shares, fraction
from pipelines.models.tokenizer import Tokens
from pipelines.seams import load
from pipelines.sources.opening import Opener, unrecorded

FILES = ("sft", "explore", "rl", "calib", "validation", "heldout")
Rows = dict[str, list[Row]]


class Wording(Protocol):
    """What a module of variants offers."""

    def paraphrases(self, reference: str) -> list[str]: ...

    def near_misses(self, question: str, reference: str, rng: Random) -> list[str]: ...


@dataclass(frozen=True)
class RlvrSet:
    """Records by file, and every count on the way."""

    records: Mapping[str, Sequence[Record]]
    metrics: Mapping[str, Any]


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


def texts(rows: Rows) -> Iterator[tuple[str, str | None]]:
    """What a tokenizer learns from: training questions, their demonstrations and references."""
    for file in ("sft", "explore", "rl"):
        for row in rows[file]:
            yield row.problem.question, row.problem.solution
            yield row.problem.answer, None


def tokenise(
    name: str, rows: Rows, tokens: Tokens, params: RlvrSetParams, metrics: Mapping[str, Any]
) -> RlvrSet:
    """Rows that cannot be encoded or are too long are dropped and counted. ValueError where a file ends empty
    that must not.
    """
    ledger, dropped = Ledger("tokenisation"), Counter[str](long_prompt=0, long_response=0, not_encodable=0)
    records: dict[str, list[Record]] = {file: [] for file in FILES}
    kept: set[tuple[str, str]] = set()
    for file in FILES:
        for row in rows[file]:
            record = record_of(row.id, row.source, row.problem, tokens, answers=True)
            if isinstance(record, NotEncodable):
                ledger.reject(record.where, record.reason)
                dropped["not_encodable"] += 1
                continue
            ledger.accept()
            if len(record.prompt_ids) > params.max_prompt_tokens:
                dropped["long_prompt"] += 1
            elif file == "sft" and len(record.response_ids or ()) > params.max_response_tokens:
                dropped["long_response"] += 1
            else:
                records[file].append(record)
                kept.add((row.id, row.problem.role))  # one row may come into sft and into another file
    ledger.check(params.max_bad_rows)
    for file in ("explore", "rl", "calib", "heldout"):
        if not records[file]:
            raise ValueError(
                f"rlvr_set.{name} has no {file} questions left; look at its shares, its sources and the "
                f"token limits"
            )
    subjects = {
        file: dict(sorted(Counter(record.subject for record in records[file]).items())) for file in FILES
    }
    read, lost = metrics["read"], Counter[str](metrics["lost"])
    lost["long or not encodable"] = read - lost.total() - len(kept)
    counts = {
        "set": name,
        "rows": rows_kept(read, lost, "questions"),
        **{key: value for key, value in metrics.items() if key not in ("read", "lost")},
        "dropped": dict(sorted(dropped.items())),
        "records": {file: len(records[file]) for file in FILES},
        "subjects": subjects,
        "unseen_subjects": sorted(set(subjects["heldout"]) - set(subjects["rl"]) - set(subjects["explore"])),
        "fields": {
            file: dict(sorted(Counter(str(record.meta.get("field")) for record in records[file]).items()))
            for file in FILES
        },
        "tokenizer": {"vocab_size": tokens.vocab_size, "template_digest": tokens.template.digest},
    }
    return RlvrSet(records, counts)


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
