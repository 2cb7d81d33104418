"""Which prefixes a batch of requests has, and what the model remembers of each: every distinct prefix is
computed once.

Prefixes that begin one another (the states along one response) share the prefill of the longest of them,
their group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from pipelines.rollouts.engines.cache import CacheRows, Layer, PrefixState


class Forward(Protocol):
    """What the engine needs of a model; see GenericForward and FusedForward.

    `shares` says whether it takes rows whose families hold their prefix once, `by_width` how it wants their
    keys (see cache).
    """

    shares: bool
    by_width: bool

    def prefill(self, ids: Tensor, rows: Tensor, columns: Tensor) -> tuple[list[Layer], Tensor]: ...

    def step(self, ids: Tensor, rows: CacheRows) -> Tensor: ...


@dataclass
class PrefixGroup:
    """A prefix that no other one extends. `users`: length of each prefix on it -> the rows (indices of
    samples) that continue it.
    """

    ids: tuple[int, ...]
    users: dict[int, list[int]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Rows that start from here."""
        return sum(map(len, self.users.values()))

    def split(self, parts: int) -> list[PrefixGroup]:
        """Returns the same rows, dealt to `parts` groups in turn."""
        pieces: list[PrefixGroup] = [PrefixGroup(self.ids) for _ in range(parts)]
        turn = 0
        for length, rows in self.users.items():
            for row in rows:
                pieces[turn % parts].users.setdefault(length, []).append(row)
                turn += 1
        return [piece for piece in pieces if piece.users]


def group_prefixes(prefixes: Sequence[Sequence[int]], rows: Sequence[Sequence[int]]) -> list[PrefixGroup]:
    """prefixes: P lists of ids; rows: the samples that continue each -> groups, shortest first: neighbours of
    like length waste little.
    """
    wanted: dict[tuple[int, ...], list[int]] = {}
    for prefix, members in zip(prefixes, rows, strict=True):
        wanted.setdefault(tuple(prefix), []).extend(members)
    groups: list[PrefixGroup] = []
    for ids in sorted(wanted, reverse=True):  # whatever extends a prefix comes just before it
        if not groups or groups[-1].ids[: len(ids)] != ids:
            groups.append(PrefixGroup(ids))
        groups[-1].users[len(ids)] = wanted[ids]
    return sorted(groups, key=lambda group: (len(group.ids), group.ids))


def distribute(groups: Sequence[PrefixGroup], workers: int) -> list[list[PrefixGroup]]:
    """Groups for `workers` workers with about equally many rows each; the order is kept, and depends on
    nothing but the arguments.
    """
    most = -(-sum(group.size for group in groups) // workers)
    shares: list[list[PrefixGroup]] = [[] for _ in range(workers)]
    loads = [0] * workers
    for group in groups:
        for piece in group.split(-(-group.size // most)):
            least = loads.index(min(loads))
            shares[least].append(piece)
            loads[least] += piece.size
    return [share for share in shares if share]


class Prefiller:
    """States of the prefixes of `groups`, computed a block of groups at a time, in order; `ready` holds those
    known from before.
    """

    def __init__(
        self,
        forward: Forward,
        groups: Sequence[PrefixGroup],
        ready: Mapping[tuple[int, ...], PrefixState],
        tokens: int,
        device: torch.device,
    ) -> None:
        self._forward, self._groups, self._ready, self._tokens, self._device = (
            forward,
            groups,
            ready,
            tokens,
            device,
        )
        self._next = 0
        self._states: dict[tuple[int, int], PrefixState] = {}

    def take(self, group: int, length: int) -> PrefixState:
        """Returns the state of the first `length` tokens of group number `group`."""
        while group >= self._next:
            self._block()
        return self._states[group, length]

    def forget(self, group: int, length: int) -> None:
        """Drop the state of that prefix: no row will start from it any more."""
        del self._states[group, length]

    def _block(self) -> None:
        """The next groups that fit the budget of tokens."""
        members: list[int] = []
        width = 0
        while self._next < len(self._groups):
            group = self._groups[self._next]
            missing = []
            for length in group.users:
                known = self._ready.get(group.ids[:length])
                if known is None:
                    missing.append(length)
                else:
                    self._states[self._next, length] = known
            if missing:
                width = max(width, max(missing))
                if members and width * (len(members) + 1) > self._tokens:
                    break
                members.append(self._next)
            self._next += 1
        if members:
            self._compute(members)

    def _compute(self, members: list[int]) -> None:
        wanted = [
            (row, group, length)
            for row, group in enumerate(members)
            for length in self._groups[group].users
            if (group, length) not in self._states
        ]
        width = max(length for _, _, length in wanted)
        # On the right, padding needs no mask: no real token looks at what follows it.
        padded = [list(self._groups[group].ids[:width]) for group in members]
        ids = torch.tensor([row + [row[0]] * (width - len(row)) for row in padded], device=self._device)
        rows = torch.tensor([row for row, _, _ in wanted], device=self._device)
        columns = torch.tensor([length - 1 for _, _, length in wanted], device=self._device)
        layers, logits = self._forward.prefill(ids, rows, columns)
        for place, (row, group, length) in enumerate(wanted):
            own = [Layer(layer.keys[row, :, :length], layer.values[row, :, :length]) for layer in layers]
            self._states[group, length] = PrefixState(own, logits[place], length)
