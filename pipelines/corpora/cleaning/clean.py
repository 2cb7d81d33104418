"""From what the readers yield to clean, split rows: deduplicate, split by key, decontaminate. Every loss is
counted, and no text changes.

The result is a function of the set of rows: their order in the file, and whatever the columns in use do not
say, leave no trace. The rows lie on disk meanwhile; memory holds some two hundred bytes of each.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.corpora.cleaning.contamination import REASONS, Questions, contaminated
from pipelines.corpora.cleaning.duplicates import exact, near, sketcher_of
from pipelines.corpora.cleaning.portions import over_portions
from pipelines.corpora.cleaning.split import Shares
from pipelines.corpora.cleaning.spool import PORTION, Selected, Spool
from pipelines.corpora.cleaning.text import normalise
from pipelines.corpora.cleaning.traits import Traits
from pipelines.corpora.corpus_params import CorpusParams
from pipelines.corpora.raw.ledger import Ledger
from pipelines.corpora.raw.problem import Problem, Role

TRAINING: tuple[Role, ...] = ("train", "sft", "rl")
ASIDE: tuple[Role, ...] = ("validation", "heldout")
ROLES = (*TRAINING, *ASIDE)
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """A clean problem with the source that it came from."""

    source: str
    problem: Problem

    @property
    def id(self) -> str:
        question = self.problem.question.encode("utf-8", "surrogatepass")
        return f"{self.source}:{hashlib.sha256(question).hexdigest()[:16]}"


@dataclass
class Clean:
    """Rows by role, how many problems there were, and what was lost on the way: counts[step][reason or
    role].
    """

    rows: dict[Role, Sequence[Row]]
    found: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=dict)

    def count(self, step: str, reason: str, number: int) -> None:
        self.counts.setdefault(step, Counter())[reason] += number

    def training(self) -> Iterator[Row]:
        for role in TRAINING:
            yield from self.rows[role]


def clean(
    found: Mapping[str, Iterable[Problem]],
    params: CorpusParams,
    folder: Path | None = None,
    processes: int | None = None,
) -> Clean:
    """`found`: problems by source, read once; earlier sources win where two say the same. `folder`: where the
    rows lie meanwhile; `processes` as in `over_portions`.
    """
    rows = _Rows(params, folder)
    rows.read(found, processes)
    result = Clean({}, len(rows.spool))
    places = {role: rows.ordered(role, result) for role in ROLES}
    for role in ROLES:
        places[role] = rows.distinct(places[role], role, result)
    places = _split(places, rows.traits, Shares(params.validation_share, params.heldout_share), result)
    for role in ASIDE:  # what was split off may repeat what a file had put aside
        places[role] = rows.distinct(places[role], role, result)
    _decontaminate(places, rows, result)
    result.rows = {role: Selected(rows.spool, places[role]) for role in ROLES}
    return result


def rows_read(rows: Clean, ledgers: Iterable[Ledger]) -> int:
    """What the files hold, less what `limits` leave out on purpose."""
    return (
        rows.found
        - rows.counts["limits"].total()
        + sum(ledger.bad + ledger.left_out.total() for ledger in ledgers)
    )


def losses(rows: Clean, ledgers: Iterable[Ledger]) -> Counter[str]:
    """Every row that was read and is not among the clean ones, by reason."""
    lost = Counter(
        {f"duplicates {reason}": rows.counts["duplicates"][reason] for reason in ("exact", "near")}
    )
    for step in ("validation_in_heldout", "train_in_heldout"):
        for reason, number in rows.counts[step].items():
            lost[f"in held-out or validation rows by {reason}"] += number
    for ledger in ledgers:
        lost["bad rows"] += ledger.bad
        lost += ledger.left_out
    return lost


class _Rows:
    """All rows on disk, and their traits."""

    def __init__(self, params: CorpusParams, folder: Path | None) -> None:
        self.params = params
        self.spool: Spool[Row] = Spool(folder)
        self.sketcher = sketcher_of(params.near)
        self.traits = Traits.of([], self.sketcher)
        self.roles: NDArray[np.uint8] = np.empty(0, np.uint8)
        self.sources: NDArray[np.uint16] = np.empty(0, np.uint16)

    def read(self, found: Mapping[str, Iterable[Problem]], processes: int | None) -> None:
        roles: list[int] = []
        ends = []

        def written() -> Iterator[list[Problem]]:
            for source, problems in found.items():
                tidy = getattr(self.params.sources[source], "normalise", False)
                rest = iter(problems)
                while portion := list(islice(rest, PORTION)):
                    portion = [_tidy(problem) for problem in portion] if tidy else portion
                    self.spool.extend(Row(source, problem) for problem in portion)
                    roles.extend(ROLES.index(problem.role) for problem in portion)
                    yield portion
                ends.append(len(self.spool))

        parts = list(over_portions(partial(Traits.of, sketcher=self.sketcher), written(), processes))
        self.traits = Traits.joined([self.traits, *parts])
        self.roles = np.array(roles, np.uint8)
        self.sources = np.searchsorted(np.array(ends), np.arange(len(roles)), side="right").astype(np.uint16)

    def ordered(self, role: Role, result: Clean) -> Places:
        """Source by source, each shuffled by the hash of the questions, and cut at its limit."""
        parts = [np.empty(0, np.int64)]
        for number, source in enumerate(self.params.sources.values()):
            own = np.flatnonzero((self.roles == ROLES.index(role)) & (self.sources == number))
            own = own[np.lexsort((self.traits.content[own], self.traits.order[own]))]
            parts.append(own[: getattr(source, "limits", {}).get(role)])
            result.count("limits", role, len(own) - len(parts[-1]))
        return np.concatenate(parts)

    def distinct(self, places: Places, role: Role, result: Clean) -> Places:
        """Without repeated questions; published test sets keep what is only nearly alike."""
        kept, conflicts = exact(self.traits.form[places], self.traits.answer[places])
        result.count("duplicates", "exact", len(places) - len(kept))
        result.count("duplicates", "exact_with_other_answer", conflicts)
        places = places[kept]
        if self.sketcher is not None and role in TRAINING:
            own = self.questions(places)
            kept = near(own, self.sketcher, self.traits.answer[places])
        else:
            kept = np.arange(len(places))
        result.count("duplicates", "near", len(places) - len(kept))
        return places[kept]

    def questions(self, places: Places) -> Questions:
        return Questions(
            self.traits.of_places(places), lambda place: self.spool[int(places[place])].problem.question
        )


def _tidy(problem: Problem) -> Problem:
    """For a source with `normalise`."""
    solution = None if problem.solution is None else normalise(problem.solution)
    return replace(
        problem, question=normalise(problem.question), answer=normalise(problem.answer), solution=solution
    )


def _split(places: dict[Role, Places], traits: Traits, shares: Shares, result: Clean) -> dict[Role, Places]:
    """Put shares of the `train` rows aside by key; sources that place their rows themselves are left
    alone.
    """
    train = places["train"]
    sides = np.array([shares.at(place) for place in traits.side[train].tolist()], dtype=object)
    split = dict(places)
    for side in ("train", *ASIDE):
        own = train[sides == side]
        split[side] = own if side == "train" else np.concatenate([places[side], own])  # type: ignore[index]
        result.count("split", side, len(own))
    return split


def _decontaminate(places: dict[Role, Places], rows: _Rows, result: Clean) -> None:
    """Held-out rows stay; validation gives way to them, training to both."""
    for role in ("validation", *TRAINING):
        against = (
            places["heldout"]
            if role == "validation"
            else np.concatenate([places["heldout"], places["validation"]])
        )
        own: Places = places[role]  # type: ignore[index]
        reasons = contaminated(
            rows.questions(own), rows.questions(against), rows.params.decontaminate, rows.sketcher
        )
        places[role] = own[reasons == 0]  # type: ignore[index]
        step = "validation_in_heldout" if role == "validation" else "train_in_heldout"
        for number, reason in enumerate(REASONS, 1):
            result.count(step, reason, int((reasons == number).sum()))
