"""Event files for TensorBoard, .whetstone/tensorboard/RUN/STAGE, by TensorBoard's own writer: torch's would
load torch into the runner.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from tasks.trackers import Home, numbers

FOLDER = ".whetstone/tensorboard"


class _Curve:
    def __init__(self, folder: str):
        self._events = EventFileWriter(folder)
        self._step = 0

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            self._step = int(row.get("step", self._step))
            self._write(numbers(row))
        self._events.flush()

    def end(self, ok: bool, metrics: Mapping[str, float]) -> None:
        self._write({f"final/{name}": value for name, value in metrics.items()})
        self._events.close()

    def _write(self, figures: Mapping[str, float]) -> None:
        values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        if values:
            self._events.add_event(
                Event(step=self._step, wall_time=time.time(), summary=Summary(value=values))
            )


class _Writer:
    def __init__(self, home: Home):
        self._folder = home.root / FOLDER / home.run
        self.place = f"{FOLDER}: `tensorboard --logdir {FOLDER}`"

    def open(self, stage: str, params: Mapping[str, Any]) -> _Curve:
        return _Curve(str(self._folder / stage))

    def close(self) -> None: ...


def open_writer(home: Home) -> _Writer:
    return _Writer(home)
