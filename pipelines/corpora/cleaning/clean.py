"""Clean, split rows from what the readers yield: deduplicate, split by key, decontaminate. Every loss is
counted, and no text changes.

The result is a function of the set of rows: neither their order in the file nor columns that are not in use
affect it. The rows are kept on disk meanwhile; memory holds about two hundred bytes per row.
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
from pipelines.corpora.cleaning.duplicates import first_of_equal, first_of_similar, sketcher_of
from pipelines.corpora.cleaning.portions import over_portions
from pipelines.corpora.cleaning.split import Shares
from pipelines.corpora.cleaning.spool import PORTION, Selected, Spool
from pipelines.corpora.cleaning.text import normalise
from pipelines.corpora.cleaning.traits import Traits
from pipelines.corpora.corpus_params import CorpusParams
from pipelines.corpora.raw.ledger import Ledger
from pipelines.corpora.raw.problem import Problem, Role

TRAINING: tuple[Role, ...] = ("train", "sft", "rl")
EVALUATION: tuple[Role, ...] = ("validation", "heldout")
ROLES = (*TRAINING, *EVALUATION)
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class CleanRow:
    """A clean problem with the name of its source."""

    source: str
    problem: Problem

    @property
    def id(self) -> str:
        """Returns the source and 16 hexadecimal digits of the SHA-256 of the question."""
        question = self.problem.question.encode("utf-8", "surrogatepass")
        return f"{self.source}:{hashlib.sha256(question).hexdigest()[:16]}"


@dataclass
class CleanRows:
    """Rows by role; `read`: the number of problems that the readers yielded; `counts[step][reason or role]`:
    what was lost on the way.
    """

    rows: dict[Role, Sequence[CleanRow]]
    read: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=dict)

    def count(self, step: str, reason: str, number: int) -> None:
        """Adds `number` to the count of `reason` in `step`."""
        self.counts.setdefault(step, Counter())[reason] += number

    def training(self) -> Iterator[CleanRow]:
        """Yields the rows of all training roles."""
        for role in TRAINING:
            yield from self.rows[role]


def clean(
    problems: Mapping[str, Iterable[Problem]],
    params: CorpusParams,
    folder: Path | None = None,
    processes: int | None = None,
) -> CleanRows:
    """Cleans and splits the problems of all sources.

    `problems`: by source, each iterable read once; where two sources ask the same, the earlier one's row
    stays. `folder`: where the rows are stored while they are cleaned, None for the system's temporary folder.
    `processes`: as in `over_portions`.
    """
    rows = _Rows(params, folder)
    rows.read(problems, processes)
    result = CleanRows({}, len(rows.spool))
    indices = {role: rows.ordered(role, result) for role in ROLES}
    for role in ROLES:
        indices[role] = rows.distinct(indices[role], role, result)
    indices = _split(indices, rows.traits, Shares(params.validation_share, params.heldout_share), result)
    for role in EVALUATION:  # rows that were split off may repeat rows of an evaluation file
        indices[role] = rows.distinct(indices[role], role, result)
    _decontaminate(indices, rows, result)
    result.rows = {role: Selected(rows.spool, indices[role]) for role in ROLES}
    return result


def rows_read(rows: CleanRows, ledgers: Iterable[Ledger]) -> int:
    """Returns the number of rows in the files, without those that `limits` leave out on purpose."""
    return (
        rows.read
        - rows.counts["limits"].total()
        + sum(ledger.bad + ledger.left_out.total() for ledger in ledgers)
    )


def losses(rows: CleanRows, ledgers: Iterable[Ledger]) -> Counter[str]:
    """Returns the number of rows that were read and are not among the clean ones, by reason."""
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
    """All rows on disk, and their traits in memory."""

    def __init__(self, params: CorpusParams, folder: Path | None) -> None:
        self.params = params
        self.spool: Spool[CleanRow] = Spool(folder)
        self.sketcher = sketcher_of(params.near)
        self.traits = Traits.of([], self.sketcher)
        self.roles: NDArray[np.uint8] = np.empty(0, np.uint8)
        self.sources: NDArray[np.uint16] = np.empty(0, np.uint16)

    def read(self, problems_by_source: Mapping[str, Iterable[Problem]], processes: int | None) -> None:
        """Writes all problems to disk and computes their traits."""
        roles: list[int] = []
        source_ends = []

        def spooled_portions() -> Iterator[list[Problem]]:
            for source, problems in problems_by_source.items():
                normalises = getattr(self.params.sources[source], "normalise", False)
                remaining = iter(problems)
                while portion := list(islice(remaining, PORTION)):
                    portion = [_normalised(problem) for problem in portion] if normalises else portion
                    self.spool.extend(CleanRow(source, problem) for problem in portion)
                    roles.extend(ROLES.index(problem.role) for problem in portion)
                    yield portion
                source_ends.append(len(self.spool))

        parts = list(over_portions(partial(Traits.of, sketcher=self.sketcher), spooled_portions(), processes))
        self.traits = Traits.joined([self.traits, *parts])
        self.roles = np.array(roles, np.uint8)
        self.sources = np.searchsorted(np.array(source_ends), np.arange(len(roles)), side="right").astype(
            np.uint16
        )

    def ordered(self, role: Role, result: CleanRows) -> Indices:
        """Returns the indices of the rows of a role: source by source, each shuffled by the hash of the
        question and cut at its limit.
        """
        parts = [np.empty(0, np.int64)]
        for number, source in enumerate(self.params.sources.values()):
            indices = np.flatnonzero((self.roles == ROLES.index(role)) & (self.sources == number))
            indices = indices[np.lexsort((self.traits.content[indices], self.traits.order[indices]))]
            parts.append(indices[: getattr(source, "limits", {}).get(role)])
            result.count("limits", role, len(indices) - len(parts[-1]))
        return np.concatenate(parts)

    def distinct(self, indices: Indices, role: Role, result: CleanRows) -> Indices:
        """Returns the indices without repeated questions. Rows of published test sets that are only
        near-duplicates stay.
        """
        first, conflicts = first_of_equal(self.traits.form[indices], self.traits.answer[indices])
        result.count("duplicates", "exact", len(indices) - len(first))
        result.count("duplicates", "exact_with_other_answer", conflicts)
        indices = indices[first]
        if self.sketcher is not None and role in TRAINING:
            questions = self.questions(indices)
            first = first_of_similar(questions, self.sketcher, self.traits.answer[indices])
        else:
            first = np.arange(len(indices))
        result.count("duplicates", "near", len(indices) - len(first))
        return indices[first]

    def questions(self, indices: Indices) -> Questions:
        """Returns the questions of these rows, for comparison."""
        return Questions(
            self.traits.at_indices(indices), lambda index: self.spool[int(indices[index])].problem.question
        )


def _normalised(problem: Problem) -> Problem:
    """Returns a problem of a source with the option `normalise`."""
    solution = None if problem.solution is None else normalise(problem.solution)
    return replace(
        problem, question=normalise(problem.question), answer=normalise(problem.answer), solution=solution
    )


def _split(
    indices: dict[Role, Indices], traits: Traits, shares: Shares, result: CleanRows
) -> dict[Role, Indices]:
    """Puts shares of the `train` rows aside by key. Rows that their source has already placed are
    left alone.
    """
    train = indices["train"]
    sides = np.array([shares.side_at(position) for position in traits.side[train].tolist()], dtype=object)
    split = dict(indices)
    for side in ("train", *EVALUATION):
        of_side = train[sides == side]
        split[side] = of_side if side == "train" else np.concatenate([indices[side], of_side])  # type: ignore[index]
        result.count("split", side, len(of_side))
    return split


def _decontaminate(indices: dict[Role, Indices], rows: _Rows, result: CleanRows) -> None:
    """Removes contaminated rows in place: held-out rows stay, validation rows give way to them, training rows
    to both.
    """
    for role in ("validation", *TRAINING):
        against = (
            indices["heldout"]
            if role == "validation"
            else np.concatenate([indices["heldout"], indices["validation"]])
        )
        candidates: Indices = indices[role]  # type: ignore[index]
        reasons = contaminated(
            rows.questions(candidates), rows.questions(against), rows.params.decontaminate, rows.sketcher
        )
        indices[role] = candidates[reasons == 0]  # type: ignore[index]
        step = "validation_in_heldout" if role == "validation" else "train_in_heldout"
        for number, reason in enumerate(REASONS, 1):
            result.count(step, reason, int((reasons == number).sum()))
