"""The curves of running stages, followed for the trackers of `execution.trackers`: each has a thread that
reads what the stages append and hands it on, so that no trainer knows a tracker and no stage waits for one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.curve_rows import appended
from tasks.stage import CURVE, Spec
from tasks.trackers import CurveWriter, Home, Writer, open_writer
from tasks.tracking_records import flat, masked, public

PERIOD_S = 5.0
EXTRA = {"tensorboard": "tensorboard", "wandb": "wandb"}  # of pyproject.toml


@dataclass
class _Followed:
    """A running stage. Its writer is opened with its first row: most stages have no curve."""

    spec: Spec
    writer: CurveWriter | None = None
    offset: int = 0


@dataclass
class _Job:
    do: Callable[[], None]
    last: bool = False
    done: threading.Event = field(default_factory=threading.Event)


class CurveFollower:
    """All methods return soon. The first failure is said, and ends it; the run goes on."""

    def __init__(self, kind: str, home: Home, say: Callable[[str], None]):
        self.kind, self._home, self._say = kind, home, say
        self._queue: queue.Queue[_Job] = queue.Queue()
        self._stages: dict[str, _Followed] = {}
        self._writer: Writer | None = None
        self._failed = False
        self._thread = threading.Thread(target=self._work, name=f"curves for {kind}", daemon=True)
        self._thread.start()
        self._put(self._open)

    def _put(self, do: Callable[[], None], last: bool = False) -> threading.Event:
        job = _Job(do, last)
        self._queue.put(job)
        return job.done

    def stage_started(self, spec: Spec) -> None:
        self._put(lambda: self._stages.update({spec.stage: _Followed(spec)}))

    def stage_command_ended(self, name: str) -> threading.Event:
        """Returns an event that is set when the rest of the curve is written; the work directory goes away
        after this.
        """
        return self._put(lambda: self._follow(self._stages[name]) if name in self._stages else None)

    def stage_ended(self, name: str, ok: bool, metrics: Mapping[str, Any]) -> None:
        def job() -> None:
            followed = self._stages.pop(name, None)
            if followed:
                self._follow(followed)  # of one that failed, whose work directory stays
            if followed and followed.writer:
                numbers = {key: value for key, value in flat(metrics).items() if _is_number(value)}
                followed.writer.end(ok, numbers)

        self._put(job)

    def close(self, patience: float = 30) -> None:
        """Wait for what is still to be written, and say where it lies."""
        if not self._put(self._end, last=True).wait(patience):
            self._say(f"{self.kind}: it did not take its curves within {patience:g} s; some are missing")

    def _work(self) -> None:
        while True:
            try:
                job = self._queue.get(timeout=PERIOD_S)
            except queue.Empty:
                job = _Job(self._follow_all)
            if not self._failed:
                self._guarded(job.do)
            job.done.set()
            if job.last:
                return

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except ImportError as error:
            self._failed = True
            self._say(
                f"execution.trackers: {self.kind} gets no curves: {error}; pip install "
                f"'.[{EXTRA[self.kind]}]', or take it out"
            )
        # each package has errors of its own kinds, and none may end a training
        except Exception as error:  # noqa: BLE001
            self._failed = True
            self._say(
                f"{self.kind} gets no more curves: {masked(' '.join(str(error).split())[:300])}; the run "
                f"goes on without it"
            )

    def _open(self) -> None:
        self._writer = open_writer(self.kind, self._home)

    def _follow_all(self) -> None:
        for followed in list(self._stages.values()):
            self._follow(followed)

    def _follow(self, followed: _Followed) -> None:
        curve = Path(followed.spec.work) / CURVE
        while True:
            rows, followed.offset = appended(curve, followed.offset)
            if not rows:
                return
            if followed.writer is None and self._writer is not None:
                params = flat(dict(followed.spec.params))
                followed.writer = self._writer.open(followed.spec.stage, params)
            if followed.writer is not None:
                followed.writer.rows([public(row) for row in rows])

    def _end(self) -> None:
        """Close what a run that was cut short left open."""
        for followed in self._stages.values():
            if followed.writer:
                followed.writer.end(False, {})
        if self._writer is not None:
            self._writer.close()
            self._say(f"{self.kind}: {self._writer.place}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
