"""What every training loop shares: resuming, checkpoints by period, a clean end on SIGTERM, the curve.

`with session: for step in session: ...` runs the steps that are left. A SIGTERM ends the run with status 143
after a checkpoint: at the end of the step, or at once where the loop calls `check_stop()` because nothing has
been updated yet.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Protocol

from pipelines.training.checkpoints import Checkpoints, Saveable, commit
from pipelines.training.ranks import Ranks

TERMINATED = 143  # 128 + SIGTERM, what a shell reports


class Reporter(Protocol):
    """Where figures go; a stage is one."""

    def log(self, step: int, **metrics: float) -> None:
        """A row of the curve; only what a rerun repeats."""

    def truncate_curve(self, step: int) -> None:
        """Forget rows of `step` and later."""

    def progress(self, done: int, total: int, **figures: float) -> None:
        """For people; may hold speeds."""

    def say(self, text: str) -> None:
        """A line of the log."""


class Interrupted(Exception):
    """SIGTERM came at a point where the state is that of the last step's end."""


class TrainingSession:
    """Iterates over the steps left of `total`. Rows of the curve are numbered by steps done: 0 is the start,
    `total` the end.

    With several ranks all of them stop and save at the same step, whoever got the signal.
    """

    def __init__(
        self,
        state: Saveable,
        checkpoints: Checkpoints,
        reporter: Reporter,
        total: int,
        ranks: Ranks = Ranks.single(),
    ) -> None:
        self._state, self._checkpoints, self._total, self._ranks = state, checkpoints, total, ranks
        self._terminated = False
        self.done = checkpoints.resume(state)
        reporter.truncate_curve(self.done + 1 if self.done else 0)

    def __iter__(self) -> Iterator[int]:
        while self.done < self._total:
            yield self.done
            self.done += 1
            commit(self._state)
            self._terminated = self._ranks.any(self._terminated)
            if self.done < self._total and self._ranks.broadcast_from_first(
                self._terminated or self._checkpoints.due()
            ):
                self._checkpoints.save(self.done, self._state)
            if self._terminated:
                raise SystemExit(TERMINATED)

    def check_stop(self) -> None:
        """Raise Interrupted after a SIGTERM. Call it only where the state has not changed since the last
        step's end. With several ranks it does nothing: one of them alone must not leave a step.
        """
        if self._terminated and self._ranks.size == 1:
            raise Interrupted

    def __enter__(self) -> TrainingSession:
        self._previous = signal.signal(signal.SIGTERM, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGTERM, self._previous)
        if kind is Interrupted:
            self._checkpoints.save(self.done, self._state)
            raise SystemExit(TERMINATED)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._terminated = True
