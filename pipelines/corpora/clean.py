"""From what the readers yield to clean, split rows: deduplicate, split by key, decontaminate. Every loss is counted, and no text changes.

The result is a function of the set of rows: their order in the file, and whatever the columns in use do not say, leave no trace.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipelines.corpora.canonical import comparable, loose
from pipelines.corpora.contamination import decontaminate, group_of
from pipelines.corpora.corpus_params import CorpusParams
from pipelines.corpora.duplicates import exact_duplicates, near_duplicates
from pipelines.corpora.problem import Problem, Role
from pipelines.corpora.split import Shares, fraction
from pipelines.corpora.text import normalise

TRAINING: tuple[Role, ...] = ("train", "sft", "rl")
ASIDE: tuple[Role, ...] = ("validation", "heldout")


@dataclass(frozen=True)
class Row:
    """A clean problem with the source that it came from."""

    source: str
    problem: Problem

    @property
    def id(self) -> str:
        return f"{self.source}:{hashlib.sha256(self.problem.question.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


@dataclass
class Clean:
    """Rows by role, and what was lost on the way: counts[step][reason or role]."""

    rows: dict[Role, list[Row]] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=dict)

    def count(self, step: str, reason: str, number: int) -> None:
        self.counts.setdefault(step, Counter())[reason] += number

    def training(self) -> list[Row]:
        return [row for role in TRAINING for row in self.rows[role]]


def clean(found: Mapping[str, Iterable[Problem]], params: CorpusParams) -> Clean:
    """`found`: problems by source; earlier sources win where two say the same."""
    result = Clean(rows={role: [] for role in (*TRAINING, *ASIDE)})
    for source, problems in found.items():
        settings = params.sources[source]
        limits: Mapping[str, int] = getattr(settings, "limits", {})
        for role, rows in _by_role(source, problems, getattr(settings, "normalise", False)).items():
            result.rows[role] += rows[: limits.get(role)]
    _deduplicate(result, (*TRAINING, *ASIDE), params)
    _split(result, Shares(params.validation_share, params.heldout_share))
    _deduplicate(result, ASIDE, params)  # what was split off may repeat what a file had put aside
    _decontaminate(result, params)
    return result


def _by_role(source: str, problems: Iterable[Problem], tidy: bool) -> dict[Role, list[Row]]:
    rows: dict[Role, list[Row]] = {}
    for problem in problems:
        rows.setdefault(problem.role, []).append(Row(source, _tidy(problem) if tidy else problem))
    for found in rows.values():
        found.sort(key=_order)
    return rows


def _tidy(problem: Problem) -> Problem:
    """For a source with `normalise`."""
    solution = None if problem.solution is None else normalise(problem.solution)
    return replace(problem, question=normalise(problem.question), answer=normalise(problem.answer), solution=solution)


def _order(row: Row) -> tuple[float, str]:
    """By hash of the question, then by content: shuffled, and the same for any order of the file."""
    return fraction("order:" + loose(row.problem.question)), repr(row.problem)


def _deduplicate(result: Clean, roles: Sequence[Role], params: CorpusParams) -> None:
    for role in roles:
        rows = result.rows[role]
        repeated = set(exact_duplicates([row.problem.question for row in rows]))
        first = {comparable(row.problem.question): row.problem.answer for row in reversed(rows)}
        conflicts = sum(first[comparable(rows[place].problem.question)] != rows[place].problem.answer for place in repeated)
        rows = [row for place, row in enumerate(rows) if place not in repeated]
        near: set[int] = set()
        if params.near is not None and role in TRAINING:  # published test sets stay as they are
            near = set(near_duplicates([row.problem.question for row in rows], params.near))
        result.rows[role] = [row for place, row in enumerate(rows) if place not in near]
        for reason, number in (("exact", len(repeated)), ("near", len(near)), ("exact_with_other_answer", conflicts)):
            result.count("duplicates", reason, number)


def _split(result: Clean, shares: Shares) -> None:
    """Put shares of the `train` rows aside by key; sources that place their rows themselves are left alone."""
    train: list[Row] = []
    for row in result.rows["train"]:
        side = shares.side(group_of(row.problem))
        (train if side == "train" else result.rows[side]).append(row)
        result.count("split", side, 1)
    result.rows["train"] = train


def _decontaminate(result: Clean, params: CorpusParams) -> None:
    """Held-out rows stay; validation gives way to them, training to both."""
    heldout = result.rows["heldout"]
    _give_way(result, "validation", heldout, params)
    aside = [*heldout, *result.rows["validation"]]
    for role in TRAINING:
        _give_way(result, role, aside, params)


def _give_way(result: Clean, role: Role, against: Sequence[Row], params: CorpusParams) -> None:
    rows = result.rows[role]
    kept, dropped = decontaminate([row.problem for row in rows], [row.problem for row in against], params.decontaminate, params.near)
    places = {id(problem) for problem in kept}
    result.rows[role] = [row for row in rows if id(row.problem) in places]
    step = "validation_in_heldout" if role == "validation" else "train_in_heldout"
    for reason in ("text", "key", "ngram", "near"):
        result.count(step, reason, dropped[reason])
