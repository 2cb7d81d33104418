"""Results side by side: accuracies, paired differences from the first, what was made differently, curves and
samples, as JSON and as tables that the terminal and the page share.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

from flows.provenance.compared import ComparedSide, Member
from flows.provenance.made_of import MadeDifferently, made_differently
from pipelines.evaluation.over_seeds import SeedMean, difference_over_seeds
from pipelines.evaluation.paired import PairedDifference, paired_difference
from tasks.report_page.comparison import Accuracy, AccuracyDifference, means_by_question
from tasks.report_page.results import judged
from tasks.report_page.seed_means import mean_accuracy
from tasks.report_page.tables import DECODINGS, Cell, Column, Table, as_text, leaves
from tasks.seed_names import member_name

FIGURES = ("entropy", "finished", "lengths")  # of an evaluation, beside its accuracies
NO_FIGURES = ("method", "rows", "settings", "warnings")  # of a training run's metrics
SEED = "seed"  # the setting in which members of a side differ
SHOWN = 60  # characters of a value
UNKNOWN = "–"  # a cell without a value


@dataclass(frozen=True)
class Difference:
    """A side against the first, with one decoding: over the questions that both answered, and over seeds
    where both have the same ones. Either is None where there is nothing in common.
    """

    side: str
    against: str
    decoding: str
    questions: PairedDifference | None
    seeds: SeedMean | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class SidesCompared:
    """Everything that `whetstone compare` shows."""

    sides: tuple[ComparedSide, ...]
    differences: list[Difference]
    made: dict[str, list[MadeDifferently]]  # by the side that the first is set against

    @property
    def notes(self) -> list[str]:
        """What must be known to read the figures: sides whose members differ in more than their seed, and the
        mean scores of a judge that gives more than right and wrong.
        """
        return [*(note for side in self.sides for note in _unlike(side)), *_scores(self.sides)]

    def as_json(self) -> dict[str, Any]:
        return {
            "sides": [_side(side) for side in self.sides],
            "differences": [difference.as_json() for difference in self.differences],
            "made": {side: [row.as_json() for row in rows] for side, rows in self.made.items()},
            "notes": self.notes,
        }


def compare(sides: Sequence[ComparedSide]) -> SidesCompared:
    """Sets every side against the first."""
    first, *others = sides
    return SidesCompared(
        tuple(sides),
        [
            Difference(
                side.shown,
                first.shown,
                decoding,
                paired_difference(shares(side, decoding), shares(first, decoding)),
                _over_seeds(side, first, decoding),
            )
            for side in others
            for decoding in DECODINGS
            if any(member.samples for member in side.members)
        ],
        {side.shown: made_differently(first.members[0].entries, side.members[0].entries) for side in others},
    )


def _unlike(side: ComparedSide) -> Iterator[str]:
    """Yields a note for every member that was made differently from the first in more than its seed."""
    first, *others = side.members
    for other in others:
        rows = [
            row
            for row in made_differently(first.entries, other.entries)
            if row.key.rpartition(".")[2] != SEED and not _same_but_for_seed(row, first.seed, other.seed)
        ]
        if rows:
            shown = ", ".join(f"{row.kind} {row.key}".strip() for row in rows[:3])
            more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
            yield (
                f"{side.shown}: {other.name} differs from {first.name} in more than its seed "
                f"({shown}{more}), so their mean is of unlike runs; "
                f"see `whetstone compare {first.name} {other.name}`"
            )


def _scores(sides: Sequence[ComparedSide]) -> Iterator[str]:
    """Yields the mean scores by decoding, and the difference of each side from the first."""
    for decoding in DECODINGS:
        by_side = [(side, scores(side, decoding)) for side in sides]
        if any(values for _, values in by_side):
            first = by_side[0][1]
            texts = []
            for place, (side, values) in enumerate(by_side):
                text = f"{side.shown} {fmean(values.values()):.3g}" if values else f"{side.shown} none"
                change = paired_difference(values, first) if place and values and first else None
                if change is not None:
                    text += f" ({change.value:+.3g} [{change.low:+.3g}, {change.high:+.3g}])"
                texts.append(text)
            yield f"mean score, {decoding}, on the judge's own scale: {'; '.join(texts)}"


def scores(side: ComparedSide, decoding: str) -> dict[str, float]:
    """Returns the mean score of each question that all of the side's members answered; empty where the judge
    gave right and wrong alone.
    """
    by_member = [
        means_by_question(
            (row["id"], row["score"])
            for row in member.samples
            if row["decoding"] == decoding and "score" in row and row["verdict"] != "error"
        )
        for member in side.members
    ]
    common = set(by_member[0]).intersection(*by_member[1:])
    return {key: fmean(values[key] for values in by_member) for key in by_member[0] if key in common}


def _same_but_for_seed(row: MadeDifferently, first: str, other: str) -> bool:
    """Returns whether two values are references to members of one run: models/sft_s0/model, sft_s1."""
    names = [
        re.sub(rf"{member_name('', int(seed))}(?=/|$)", "", str(value))
        for value, seed in ((row.first, first), (row.second, other))
    ]
    return names[0] == names[1]


def shares(side: ComparedSide, decoding: str) -> dict[str, float]:
    """Returns the share right of each question that all of the side's members answered, their mean."""
    by_member = [_member_shares(member, decoding) for member in side.members]
    common = set(by_member[0]).intersection(*by_member[1:])
    return {key: fmean(values[key] for values in by_member) for key in by_member[0] if key in common}


def _member_shares(member: Member, decoding: str) -> dict[str, float]:
    rows = (row for row in member.samples if row["decoding"] == decoding)
    return judged(rows, member.evaluation)


def _over_seeds(after: ComparedSide, before: ComparedSide, decoding: str) -> SeedMean | None:
    """Returns the difference by seed on the questions that all members of both sides answered."""
    common = shares(after, decoding).keys() & shares(before, decoding).keys()
    if not common:
        return None

    def by_seed(side: ComparedSide) -> dict[str, float]:
        members = {member.seed: _member_shares(member, decoding) for member in side.members if member.seed}
        return {seed: fmean(values[key] for key in sorted(common)) for seed, values in members.items()}

    return difference_over_seeds(by_seed(after), by_seed(before))


def accuracy(side: ComparedSide, decoding: str) -> Accuracy | None:
    """Returns a side's accuracy: Wilson's interval for one model, the mean with its t interval over seeds."""
    measured = [
        found
        for member in side.members
        if (found := Accuracy.of((member.evaluation.get("heldout") or {}).get(decoding)))
    ]
    return mean_accuracy(measured)


def _side(side: ComparedSide) -> dict[str, Any]:
    members = [
        {
            "name": member.name,
            "seed": member.seed,
            "evaluation": member.evaluation,
            "training": member.training,
        }
        for member in side.members
    ]
    measured = {decoding: accuracy(side, decoding) for decoding in DECODINGS}
    return {
        "name": side.shown,
        "commit": side.commit,
        "seeds": len(side.members) if side.members[0].seed else None,
        "accuracy": {
            decoding: value and {key: item for key, item in asdict(value).items() if key != "answers"}
            for decoding, value in measured.items()
        },
        "members": members,
    }


# -- tables --------------------------------------------------------------------------------------------------


def tables(compared: SidesCompared) -> list[Table]:
    """Returns the tables, those of results first."""
    shown = [_with_values(_accuracies(compared)), _figures(compared), _by_subject(compared)]
    return [table for table in (*shown, *_made(compared)) if table.rows]


def _with_values(table: Table) -> Table:
    """Returns a table without the columns that no row has a value in, such as those of seeds."""
    shown = [
        place
        for place in range(len(table.columns))
        if any(row[place] not in (None, UNKNOWN) for row in table.rows)
    ]
    rows = [tuple(row[place] for place in shown) for row in table.rows]
    return replace(table, columns=tuple(table.columns[place] for place in shown), rows=rows)


def _accuracies(compared: SidesCompared) -> Table:
    """Returns a row for each side: accuracy, and its paired difference from the first."""
    heads = ("accuracy", "difference", "over seeds", "gained / lost", "p")
    columns = (Column("side"), Column("seeds"), *(Column(head, name) for name in DECODINGS for head in heads))
    first = compared.sides[0].shown
    table = Table(f"Accuracy, and the difference from {first} on the same questions", columns)
    found = {(row.side, row.decoding): row for row in compared.differences}
    for side in compared.sides:
        cells: list[Cell] = []
        for decoding in DECODINGS:
            difference = found.get((side.shown, decoding))
            cells += [accuracy(side, decoding), *_difference_cells(difference)]
        table.rows.append((side.shown, str(len(side.members)) if side.members[0].seed else UNKNOWN, *cells))
    return table


def _difference_cells(difference: Difference | None) -> tuple[Cell, ...]:
    questions, seeds = (difference.questions, difference.seeds) if difference else (None, None)
    over_seeds = (
        AccuracyDifference(seeds.value, seeds.low, seeds.high)
        if seeds and seeds.low is not None and seeds.high is not None
        else None
    )
    if questions is None:
        return None, over_seeds, None, None
    changed = AccuracyDifference(questions.value, questions.low, questions.high)
    return (
        changed,
        over_seeds,
        f"{questions.gained} / {questions.lost} of {questions.n}",
        f"{questions.p:.2g}",
    )


def _figures(compared: SidesCompared) -> Table:
    table = Table("Figures", (Column("figure"), *(Column(side.shown) for side in compared.sides)))
    columns = [dict(_side_figures(side)) for side in compared.sides]
    for name in dict.fromkeys(name for column in columns for name in column):
        table.rows.append((name, *(as_text(column.get(name)) for column in columns)))
    return table


def _side_figures(side: ComparedSide) -> Iterator[tuple[str, Any]]:
    """Yields an evaluation's and a training run's figures; over several members their mean."""
    rows: list[dict[str, Any]] = []
    for member in side.members:
        evaluation = {key: member.evaluation[key] for key in FIGURES if key in member.evaluation}
        training = {key: value for key, value in member.training.items() if key not in NO_FIGURES}
        rows.append(dict(leaves({"answers": evaluation, "training": training})))
    for name, value in rows[0].items():
        values = [row.get(name) for row in rows]
        numbers = [item for item in values if isinstance(item, (int, float)) and not isinstance(item, bool)]
        if len(rows) == 1 or len(numbers) == len(rows):
            yield name.replace(".", " ").replace("_", " "), fmean(numbers) if len(rows) > 1 else value


def _by_subject(compared: SidesCompared) -> Table:
    """Returns the greedy accuracy by subject of sides with one member, where there are several subjects."""
    single = [side.members[0].evaluation if len(side.members) == 1 else {} for side in compared.sides]
    subjects = list(dict.fromkeys(key for value in single for key in value.get("by_subject") or {}))
    columns = (Column("side"), *map(Column, subjects))
    table = Table("Greedy accuracy by subject", columns)
    for side, value in zip(compared.sides, single, strict=True):
        parts: Mapping[str, Any] = value.get("by_subject") or {}
        if parts and len(subjects) > 1:
            cells = (Accuracy.of((parts.get(key) or {}).get("greedy")) for key in subjects)
            table.rows.append((side.shown, *cells))
    return table


def _made(compared: SidesCompared) -> Iterator[Table]:
    """Yields, for each side, in which settings, code and data it was made differently from the first."""
    first = compared.sides[0].shown
    for side, rows in compared.made.items():
        heads = ("stage", "what", "key", first, side)
        table = Table(f"Made differently: {first} and {side}", tuple(map(Column, heads)))
        for row in rows:
            values = (
                UNKNOWN if value is None else _shown(value, row.kind) for value in (row.first, row.second)
            )
            table.rows.append((row.stage, row.kind, row.key, *values))
        yield table


def _shown(value: Any, kind: str) -> str:
    text = str(value)[:8] if kind in ("code", "data") else as_text(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
