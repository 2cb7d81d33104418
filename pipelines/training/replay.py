"""The replay buffer of SPO-tree: one problem yields hundreds of near-duplicate segments, so they are spread
over iterations.

spo.md 2.4; by default exactly the wanted number is drawn, evenly over the problems, and the rest stays until
it is too old (spo.md U5). Every segment has an id of its own, draws are seeded by the iteration, and the
state is plain tensors and lists.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, NamedTuple, TypeVar

from pipelines.training.options import ReplayParams
from pipelines.training.replay_columns import pack, unpack

RowT = TypeVar("RowT")


@dataclass(frozen=True, slots=True)
class ReplayEntry(Generic[RowT]):
    """A segment that waits: `stamp` is the iteration that sampled it, `row` what the trainer learns from,
    stored and never looked at.
    """

    id: int
    question: str
    stamp: int
    row: RowT


class ReplayDraw(NamedTuple):
    """One iteration's segments, shuffled. `expired`: dropped for their age; `lost`, `repeated`: only with the
    published code's rule.
    """

    entries: list[ReplayEntry[Any]]
    expired: int
    lost: int
    repeated: int


class ReplayBuffer(Generic[RowT]):
    """Rows of a dataclass `row_type` whose fields are numbers, texts, (tokens,) tensors or None, token ids,
    or sequences of token ids.
    """

    def __init__(self, settings: ReplayParams, seed: int, row_type: type[RowT]) -> None:
        self._settings, self._seed, self._row_type = settings, seed, row_type
        self._entries: list[ReplayEntry[RowT]] = []
        self._next = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def questions(self) -> int:
        """How many problems have segments waiting."""
        return len({entry.question for entry in self._entries})

    def add(self, iteration: int, rows: Iterable[tuple[str, RowT]]) -> None:
        """Store (problem id, row) pairs that this iteration sampled."""
        for question, row in rows:
            self._entries.append(ReplayEntry(self._next, question, iteration, row))
            self._next += 1

    def draw(self, iteration: int) -> ReplayDraw:
        """Take this iteration's segments out of the buffer; the same buffer and iteration draw the same.
        Empty from an empty buffer.
        """
        # a text seed is hashed the same everywhere
        settings, generator = self._settings, random.Random(f"{self._seed} {iteration}")
        usable = [entry for entry in self._entries if iteration - entry.stamp < settings.max_age]
        expired = len(self._entries) - len(usable)
        by_question: dict[str, list[ReplayEntry[RowT]]] = {}
        for entry in usable:
            by_question.setdefault(entry.question, []).append(entry)
        pools = list(by_question.values())
        generator.shuffle(pools)  # who gets the odd segment
        limits = [min(len(pool), settings.per_prompt) for pool in pools]
        counts = limits if settings.official else even_shares(limits, settings.rows)
        taken = [
            entry
            for pool, count in zip(pools, counts, strict=True)
            for entry in generator.sample(pool, count)
        ]
        generator.shuffle(taken)
        gone = {entry.id for entry in taken}
        self._entries = [entry for entry in usable if entry.id not in gone]
        chosen = taken[: settings.rows]
        missing = settings.rows - len(chosen) if settings.official and chosen else 0
        repeats = [chosen[index % len(chosen)] for index in range(missing)]
        return ReplayDraw(chosen + repeats, expired, len(taken) - len(chosen), missing)

    def state_dict(self) -> dict[str, Any]:
        """Tensors, lists and numbers only, so that torch.load(weights_only=True) reads it."""
        rows = [entry.row for entry in self._entries]
        names = [field.name for field in fields(self._row_type)]  # type: ignore[arg-type]
        return {
            "next": self._next,
            "ids": [entry.id for entry in self._entries],
            "questions": [entry.question for entry in self._entries],
            "stamps": [entry.stamp for entry in self._entries],
            "rows": {name: pack([getattr(row, name) for row in rows], name) for name in names},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become the buffer that `state_dict` was taken from."""
        columns = {name: unpack(packed) for name, packed in state["rows"].items()}
        rows = [
            self._row_type(**dict(zip(columns, values, strict=True)))
            for values in zip(*columns.values(), strict=True)
        ]
        self._next = state["next"]
        self._entries = [
            ReplayEntry(*entry)
            for entry in zip(state["ids"], state["questions"], state["stamps"], rows, strict=True)
        ]


def even_shares(limits: Sequence[int], total: int) -> list[int]:
    """Returns how many to take from each of the pools with `limits` items, so that they sum to `total` (or
    all there are) and differ as little as possible.

    Where the total does not divide, earlier pools get one more.
    """
    shares = [0] * len(limits)
    left = min(total, sum(limits))
    while left:
        hungry = [index for index, limit in enumerate(limits) if shares[index] < limit]
        if left < len(hungry):
            for index in hungry[:left]:
                shares[index] += 1
            break
        step = min(left // len(hungry), min(limits[index] - shares[index] for index in hungry))
        for index in hungry:
            shares[index] += step
        left -= step * len(hungry)
    return shares
