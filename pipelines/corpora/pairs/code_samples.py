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
from pipelines.corpora.pairs.sampled import Sampled, plain_preferences
from pipelines.corpora.preferences.pair_rows import PairItem, PairReading
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


def read(source: CodeSamplesParams, reading: PairReading) -> Iterator[PairItem]:
    """Yields preferences between programs.

    Counts besides those of the pairing: of programs passed, failed, labels_agree, labels_disagree; of
    problems excluded, no_tests. Raises SandboxUnavailable where no sandbox can be made, CheckerFailed when
    more than `max_error_share` of the verdicts are errors.
    """
    problems = _problems(source, reading)
    if source.file is None:
        prompts = [_published_samples(problem, source) for problem in problems.values()]
    else:
        prompts = list(_judged(_samples(source, source.file, problems, reading), source, reading))
    preferences, counts = plain_preferences(
        [sampled for sampled, _ in prompts], source.pairing, reading.name, reading.seed
    )
    reading.pairing.update(counts)
    place_of_prompt = {sampled.prompt: where for sampled, where in prompts}
    yield from (replace(preference, where=place_of_prompt[preference.prompt]) for preference in preferences)


def _problems(source: CodeSamplesParams, reading: PairReading) -> dict[str, CodeProblem]:
    """Returns the problems by id. Rows are accepted here where only they are read, else where the samples
    are.
    """
    problems = {}
    for where, row in table_rows(source, reading, source.problems):
        try:
            problem = to_code_problem(source.layout, row)
            if problem.id in problems:
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
        problems[problem.id] = problem
    return problems


def _published_samples(problem: CodeProblem, source: CodeSamplesParams) -> tuple[Sampled, str]:
    """Returns the set's own programs as samples that their publisher judged."""
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
    """Returns the rows of the samples' file, grouped by problem and prompt, in the order of the file."""
    by_prompt: dict[tuple[str, str], Programs] = {}
    for where, row in read_rows(reading.path(file), reading.ledger):
        try:
            programs = _programs(where, row, source, problems)
        except BadRow as fault:
            reading.ledger.reject(where, str(fault))
            continue
        reading.ledger.accept()
        if programs.problem.has_tests and programs.problem.id not in source.exclude:
            earlier = by_prompt.setdefault(
                (programs.problem.id, programs.prompt), replace(programs, texts=(), labels=())
            )
            texts, labels = (*earlier.texts, *programs.texts), (*earlier.labels, *programs.labels)
            limit = source.samples or None
            by_prompt[programs.problem.id, programs.prompt] = replace(
                earlier, texts=texts[:limit], labels=labels[:limit]
            )
    return list(by_prompt.values())


def _programs(
    where: str, row: Mapping[str, Any], source: CodeSamplesParams, problems: Mapping[str, CodeProblem]
) -> Programs:
    columns, problem = source.columns, problems.get(text(row, source.columns.id))
    if problem is None:
        raise BadRow(f"{columns.id} names no problem of {source.problems}")
    texts = _listed(row.get(columns.samples))
    if texts is None or not all(isinstance(program, str) for program in texts):
        raise BadRow(f"{columns.samples} is no text, and no list of it")
    labels = [] if columns.passed is None else _listed(row.get(columns.passed))
    if (
        labels is None
        or not all(isinstance(label, bool) for label in labels)
        or (columns.passed is not None and len(labels) != len(texts))
    ):
        raise BadRow(f"{columns.passed} does not hold true or false for each of {columns.samples}")
    return Programs(
        where, problem, problem.prompt if columns.prompt is None else text(row, columns.prompt), texts, labels
    )


def _listed(value: Any) -> list[Any] | None:
    """Returns a list unchanged, a single text or truth value as a list of it; None for anything else."""
    return value if isinstance(value, list) else [value] if isinstance(value, str | bool) else None


def _judged(
    programs: Sequence[Programs], source: CodeSamplesParams, reading: PairReading
) -> Iterator[tuple[Sampled, str]]:
    """Yields the samples judged by tests, with their place. The prompt's own code is put before a sample, be
    it the row's prompt or the problem's: both ask for the same function.
    """
    judge = load("pipelines.rewards", source.reward.kind)
    verdicts = judge.judge_programs(
        source.reward,
        [group.problem.answer() for group in programs],
        [group.texts for group in programs],
        source.max_error_share,
    )
    for group, group_verdicts in zip(programs, verdicts, strict=True):
        passed = [
            None if verdict.outcome == "error" else verdict.outcome == "right" for verdict in group_verdicts
        ]
        reading.pairing.update(passed=passed.count(True), failed=passed.count(False))
        for label, result in zip(group.labels, passed, strict=False):
            if result is not None:
                reading.pairing["labels_agree" if label == result else "labels_disagree"] += 1
        judged = tuple(
            Judged(text, (), math.nan if result is None else verdict.score, result, True)
            for text, verdict, result in zip(group.texts, group_verdicts, passed, strict=True)
        )
        solution = (
            _form(group.problem, group.problem.solutions[0], source) if group.problem.solutions else None
        )
        yield Sampled(group.problem.id, group.prompt, judged, solution=solution), group.where


def _form(problem: CodeProblem, program: str, source: CodeSamplesParams) -> str:
    """Returns a program in the form of the answers."""
    return completion(problem, program) if source.answers == "completion" else program
