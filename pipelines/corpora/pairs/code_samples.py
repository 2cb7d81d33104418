"""Preferences between programs (dpo_vs_ppo.md 1.4, 1.5): samples from a file, judged here by the tests of
their problems, or a set's own correct and incorrect solutions.

Whatever labels were published with the samples, the tests decide; how often the labels agree is counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.corpora.code.code_problem import CodeProblem
from pipelines.corpora.pairs.code_samples_params import CodeSamplesParams
from pipelines.corpora.pairs.sampled import Sampled, paired
from pipelines.corpora.preferences.pair_rows import Item, PairReading
from pipelines.corpora.preferences.pairing import Judged
from pipelines.corpora.raw.columns import BadRow, text
from pipelines.corpora.raw.rows import read_rows
from pipelines.corpora.raw.tables import table_rows
from pipelines.corpora.readers.code import completion, to_code_problem
from pipelines.seams import load


@dataclass(frozen=True)
class Programs:
    """One problem with the programs of a row. `labels`: whether each passed, as published; empty without such
    labels.
    """

    where: str
    problem: CodeProblem
    prompt: str
    texts: Sequence[str]
    labels: Sequence[bool] = ()


def read(source: CodeSamplesParams, reading: PairReading) -> Iterator[Item]:
    """Counts besides those of the pairing, of programs: passed, failed, labels_agree, labels_disagree; of
    problems: excluded, no_tests.

    Raises SandboxUnavailable where no sandbox can be made, CheckerFailed above `max_error_share` of errors.
    """
    problems = _problems(source, reading)
    if source.file is None:
        prompts = [_own(one, source) for one in problems.values()]
    else:
        prompts = list(_judged(_samples(source, source.file, problems, reading), source, reading))
    preferences, counts = paired([one for one, _ in prompts], source.pairing, reading.name, reading.seed)
    reading.pairing.update(counts)
    places = {one.prompt: where for one, where in prompts}
    yield from (replace(preference, where=places[preference.prompt]) for preference in preferences)


def _problems(source: CodeSamplesParams, reading: PairReading) -> dict[str, CodeProblem]:
    """By id. Where only they are read, rows are accepted here; else where the samples are."""
    found = {}
    for where, row in table_rows(source, reading, source.problems):
        try:
            problem = to_code_problem(source.layout, row)
            if problem.id in found:
                raise BadRow("the id is that of an earlier row")
        except (BadRow, ValueError) as fault:
            reading.ledger.reject(where, str(fault))
            continue
        if source.file is None:
            reading.ledger.accept()
        if problem.id in source.exclude:
            reading.pairing["excluded"] += 1
        elif source.file is not None and not problem.has_tests:
            reading.pairing["no_tests"] += 1
        found[problem.id] = problem
    return found


def _own(problem: CodeProblem, source: CodeSamplesParams) -> tuple[Sampled, str]:
    """The set's own programs as samples that were judged by whoever published them."""
    judged = [
        Judged(_form(problem, program, source), (), float(passed), passed, True)
        for programs, passed in ((problem.solutions, True), (problem.incorrect_solutions, False))
        for program in programs[: source.samples or None]
    ]
    solution = _form(problem, problem.solutions[0], source) if problem.solutions else None
    return Sampled(problem.id, problem.prompt, tuple(judged), solution=solution), problem.id


def _samples(
    source: CodeSamplesParams, file: str, problems: Mapping[str, CodeProblem], reading: PairReading
) -> list[Programs]:
    """Rows of one problem and prompt together, in the order of the file."""
    found: dict[tuple[str, str], Programs] = {}
    for where, row in read_rows(reading.path(file), reading.ledger):
        try:
            own = _programs(where, row, source, problems)
        except BadRow as fault:
            reading.ledger.reject(where, str(fault))
            continue
        reading.ledger.accept()
        if own.problem.has_tests and own.problem.id not in source.exclude:
            before = found.setdefault((own.problem.id, own.prompt), replace(own, texts=(), labels=()))
            texts, labels = (*before.texts, *own.texts), (*before.labels, *own.labels)
            limit = source.samples or None
            found[own.problem.id, own.prompt] = replace(before, texts=texts[:limit], labels=labels[:limit])
    return list(found.values())


def _programs(
    where: str, row: Mapping[str, Any], source: CodeSamplesParams, problems: Mapping[str, CodeProblem]
) -> Programs:
    columns, problem = source.columns, problems.get(text(row, source.columns.id))
    if problem is None:
        raise BadRow(f"{columns.id} names no problem of {source.problems}")
    texts = _listed(row.get(columns.samples))
    if texts is None or not all(isinstance(one, str) for one in texts):
        raise BadRow(f"{columns.samples} is no text, and no list of it")
    labels = [] if columns.passed is None else _listed(row.get(columns.passed))
    if (
        labels is None
        or not all(isinstance(one, bool) for one in labels)
        or (columns.passed is not None and len(labels) != len(texts))
    ):
        raise BadRow(f"{columns.passed} does not hold true or false for each of {columns.samples}")
    return Programs(
        where, problem, problem.prompt if columns.prompt is None else text(row, columns.prompt), texts, labels
    )


def _listed(value: Any) -> list[Any] | None:
    """A list as it is, a single text or truth value as a list of it; None for anything else."""
    return value if isinstance(value, list) else [value] if isinstance(value, str | bool) else None


def _judged(
    found: Sequence[Programs], source: CodeSamplesParams, reading: PairReading
) -> Iterator[tuple[Sampled, str]]:
    """With the prompt's own code before a sample, be it the row's or the problem's: what is asked for is the
    same function.
    """
    judge = load("pipelines.rewards", source.reward.kind)
    verdicts = judge.judge_programs(
        source.reward,
        [one.problem.answer() for one in found],
        [one.texts for one in found],
        source.max_error_share,
    )
    for one, own in zip(found, verdicts, strict=True):
        passed = [None if verdict.outcome == "error" else verdict.outcome == "right" for verdict in own]
        reading.pairing.update(passed=passed.count(True), failed=passed.count(False))
        for label, result in zip(one.labels, passed, strict=False):
            if result is not None:
                reading.pairing["labels_agree" if label == result else "labels_disagree"] += 1
        judged = tuple(
            Judged(written, (), math.nan if result is None else verdict.score, result, True)
            for written, verdict, result in zip(one.texts, own, passed, strict=True)
        )
        solution = _form(one.problem, one.problem.solutions[0], source) if one.problem.solutions else None
        yield Sampled(one.problem.id, one.prompt, judged, solution=solution), one.where


def _form(problem: CodeProblem, program: str, source: CodeSamplesParams) -> str:
    return completion(problem, program) if source.answers == "completion" else program
