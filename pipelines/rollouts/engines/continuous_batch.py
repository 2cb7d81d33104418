"""Rows in flight: drawn and advanced one token at a time, the finished dropped, the waiting let in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.rollouts.counter import uniforms
from pipelines.rollouts.engines.cache import CacheRows, PrefixState
from pipelines.rollouts.engines.draw import draw
from pipelines.rollouts.engines.in_flight import SHARED_BY
from pipelines.rollouts.engines.kernels import compiled, ended
from pipelines.rollouts.engines.prefill import Forward, Prefiller, PrefixGroup
from pipelines.rollouts.rollout_params import SamplingParams

# finished rows are dropped, and waiting ones let in, once this share or less is alive: either copies the
# cache
FULL_ABOVE = 0.75
AHEAD = 16  # uniforms are hashed for this many positions at once


@dataclass
class Samples:
    """All rows of a call. keys and limits (N,); what is drawn: ids, logprobs, entropy (N, positions); lengths
    (N,).
    """

    keys: Tensor
    limits: Tensor
    ids: Tensor
    logprobs: Tensor
    entropy: Tensor
    lengths: Tensor


@dataclass(frozen=True)
class DecodingRules:
    """How to draw and when to end. `keep` marks rows (N, bool) whose state is wanted when they end at their
    limit.
    """

    sampling: SamplingParams
    stops: Tensor
    keep: Tensor
    rows_at_once: int


class ContinuousBatch:
    """One worker's rows: `run` samples all rows of `groups` and writes them to `samples`; `kept` maps rows to
    their states.
    """

    def __init__(
        self,
        forward: Forward,
        prefiller: Prefiller,
        groups: Sequence[PrefixGroup],
        samples: Samples,
        rules: DecodingRules,
    ) -> None:
        self._forward, self._prefiller, self._samples, self._rules = forward, prefiller, samples, rules
        self._waiting = deque(
            (number, length, rows)
            for number, group in enumerate(groups)
            for length, rows in sorted(group.users.items())
        )
        rows = sum(len(users) for *_, users in self._waiting)
        self._share = forward.shares and rows >= SHARED_BY * len(self._waiting)
        self._rows: CacheRows | None = None
        self._drawn: list[tuple[Tensor, Tensor, Tensor]] = []
        # Of the rows in flight, all (rows,): index, tokens before the present block, tokens left then,
        # whether ended; logits (rows, V).
        self._alive = self._done = self._left = samples.limits.new_empty(0)
        self._finished: Tensor = self._alive.bool()
        self._logits: Tensor = self._alive
        self._uniforms: Tensor = self._alive
        self._ended = compiled(ended, samples.limits.device)
        self.kept: dict[int, PrefixState] = {}

    def run(self, check_stop: Callable[[], None]) -> None:
        """`check_stop` is called before every token; whatever it raises ends the run."""
        self._rebatch(self._alive)
        while len(self._alive):
            check_stop()
            chosen, logprobs, entropy = draw(self._logits, self._uniform(), self._rules.sampling)
            self._drawn.append((chosen, logprobs, entropy))
            stopped, ending, some = self._ended(
                chosen, self._rules.stops, self._left == len(self._drawn), self._finished
            )
            if not some:
                self._logits = self._forward.step(chosen, self._in_flight)
                continue
            self._samples.lengths[self._alive[ending]] = self._done[ending] + len(self._drawn)
            self._finished |= ending
            self._drop_finished(
                chosen, (ending & ~stopped & self._rules.keep[self._alive]).nonzero().squeeze(1)
            )

    @property
    def _in_flight(self) -> CacheRows:
        assert self._rows is not None
        return self._rows

    def _drop_finished(self, chosen: Tensor, held: Tensor) -> None:
        """Some rows have just ended. Remember the state of `held`, close the gaps if there are many, and
        advance.
        """
        remaining = (~self._finished).nonzero().squeeze(1)
        thin = len(remaining) <= FULL_ABOVE * (
            self._rules.rows_at_once if self._waiting else len(self._alive)
        )
        if len(held) or (len(remaining) and (self._waiting or not thin)):
            self._logits = self._forward.step(chosen, self._in_flight)
            for row, state in zip(
                self._alive[held].tolist(),
                self._in_flight.states(held, self._logits[held]) if len(held) else [],
                strict=True,
            ):
                self.kept[row] = state
            if thin:
                self._rebatch(remaining)
        else:
            self._rebatch(remaining)
            if len(remaining):
                self._logits = self._forward.step(chosen[remaining], self._in_flight)

    def _rebatch(self, remaining: Tensor) -> None:
        """Go on with the rows `remaining` and as many waiting ones as there is room for."""
        self._write_samples()
        forks, rows = self._admit(self._rules.rows_at_once - len(remaining))
        alive, done = self._alive[remaining], self._done[remaining]
        if forks:
            alive = torch.cat([alive, torch.tensor(rows, device=alive.device)])
            done = torch.cat([done, done.new_zeros(len(rows))])
        self._alive, self._done, self._left = alive, done, self._samples.limits[alive] - done
        self._finished = torch.zeros(len(alive), dtype=torch.bool, device=alive.device)
        if forks:
            logits = torch.cat([state.logits.expand(copies, -1) for state, copies in forks])
            self._rows = CacheRows.join(
                self._rows, remaining, forks, int(self._left.max()), self._share, self._forward.by_width
            )
            self._logits = torch.cat([self._logits[remaining], logits]) if len(remaining) else logits
        elif len(remaining):
            self._in_flight.keep(remaining)
            self._logits = self._logits[remaining]

    def _admit(self, room: int) -> tuple[list[tuple[PrefixState, int]], list[int]]:
        """Returns the next waiting rows, at most `room`: (state, copies) of each prefix, and the rows in that
        order.
        """
        forks: list[tuple[PrefixState, int]] = []
        admitted: list[int] = []
        while self._waiting and len(admitted) < room:
            group, length, rows = self._waiting.popleft()
            now, later = rows[: room - len(admitted)], rows[room - len(admitted) :]
            forks.append((self._prefiller.take(group, length), len(now)))
            admitted += now
            if later:
                self._waiting.appendleft((group, length, later))
            else:
                self._prefiller.forget(group, length)
        return forks, admitted

    def _uniform(self) -> Tensor:
        """Returns (rows,) uniform random numbers of the current position."""
        ahead = len(self._drawn) % AHEAD
        if ahead == 0:
            steps = torch.arange(len(self._drawn), len(self._drawn) + AHEAD, device=self._done.device)
            self._uniforms = uniforms(self._samples.keys[self._alive], self._done + steps[:, None])
        return self._uniforms[ahead]

    def _write_samples(self) -> None:
        """Write what was drawn since the rows were last renewed."""
        if not self._drawn:
            return
        positions = self._done[:, None] + torch.arange(len(self._drawn), device=self._done.device)
        # a finished row runs on until it is dropped
        valid = positions < self._samples.limits[self._alive][:, None]
        rows, places = self._alive[:, None].expand_as(positions)[valid], positions[valid]
        for into, parts in zip(
            (self._samples.ids, self._samples.logprobs, self._samples.entropy),
            zip(*self._drawn, strict=True),
            strict=True,
        ):
            into[rows, places] = torch.stack(parts, 1)[valid]
        self._done = self._done + len(self._drawn)
        self._drawn = []
