"""The records of a run in MLflow, written by a thread of its own: importing MLflow takes over a second, and
no stage waits for it.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tasks.process_metrics import ProcessTree
from tasks.stage import CURVE, Spec
from tasks.tracking import Tracking

PERIOD_S = 5.0


@dataclass
class _Live:
    """A running stage: its MLflow run and how much of its curve has been logged."""

    spec: Spec
    run: str | None = None
    tree: ProcessTree | None = None
    offset: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)


class Recorder:
    """All methods return at once; one thread does the work in order. `close` waits for it for a bounded
    time.
    """

    def __init__(
        self,
        root: Path,
        run: str,
        tags: dict[str, Any],
        plan: list[dict[str, Any]],
        say: Callable[[str], None],
        params: Mapping[str, Any] = MappingProxyType({}),
    ):
        self.root, self.run = root, run
        self.tracking = Tracking(root, say=say)
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._live: dict[str, _Live] = {}
        self._parent: str | None = None
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()
        self._put(lambda: self._begin(tags, plan, params))

    def _put(self, job: Callable[[], None]) -> None:
        self._queue.put(job)

    def _work(self) -> None:
        while True:
            try:
                job = self._queue.get(timeout=PERIOD_S)
            except queue.Empty:
                self._sample()
                continue
            if job is None:
                return
            job()

    def _begin(self, tags: dict[str, Any], plan: list[dict[str, Any]], params: Mapping[str, Any]) -> None:
        self.tracking.heal()
        self._parent = self.tracking.start_flow(plan, {"whetstone.run": self.run, **tags}, self.run, params)

    def flow_made(self, metrics: Mapping[str, float], artifacts: Mapping[str, str | Path]) -> None:
        """Log what the whole run came to: its main figures, and texts, files and folders by their names."""

        def job() -> None:
            self.tracking.log_metrics(self._parent, metrics)
            self.tracking.log_artifacts(self._parent, artifacts)

        self._put(job)

    def _sample(self) -> None:
        for live in list(self._live.values()):
            self._curve(live)
            if live.tree is not None:
                self.tracking.log_system(live.run, live.tree.sample())

    def _curve(self, live: _Live) -> None:
        live.offset = self.tracking.follow(live.run, Path(live.spec.work) / CURVE, live.offset)

    def stage_started(self, spec: Spec, pid: int, why: tuple[str, ...]) -> None:
        def job() -> None:
            tags = {
                "whetstone.run": self.run,
                "git.commit": spec.git.get("commit"),
                "git.dirty": spec.git.get("dirty"),
            }
            live = _Live(spec, tree=ProcessTree(pid))
            live.run = self.tracking.start_stage(
                self._parent, spec.stage, why, dict(spec.params), dict(spec.inputs), spec.key, tags
            )
            self._live[spec.stage] = live

        self._put(job)

    def stage_command_ended(self, name: str) -> None:
        """Log the rest of the curve, while the work directory still exists."""
        done = threading.Event()

        def job() -> None:
            if name in self._live:
                self._curve(self._live[name])
            done.set()

        self._put(job)
        # the directory goes away after this; a store that is out of reach must not hold the stage longer
        done.wait(10)

    def stage_ended(self, name: str, status: str, tags: dict[str, Any], outs: dict[str, str]) -> None:
        """End the stage's run. Its JSON metrics become MLflow metrics, its model a version that points to the
        DVC object.
        """

        def job() -> None:
            live = self._live.pop(name, None)
            run = live.run if live else None
            self.tracking.end(run, status, tags, stage_metrics(self.root, outs))
            for path, digest in outs.items():
                if path.startswith("models/") and path.endswith("/model"):
                    facts = (
                        {
                            "stage.key": live.spec.key,
                            "git.commit": live.spec.git.get("commit"),
                            "whetstone.run": self.run,
                        }
                        if live
                        else {}
                    )
                    self.tracking.register(name, path, digest, run, facts)

        self._put(job)

    def close(self, status: str, tags: dict[str, Any], patience: float = 30) -> None:
        self._put(lambda: self.tracking.end(self._parent, status, tags))
        self._queue.put(None)
        self._thread.join(patience)


def stage_metrics(root: Path, outs: Iterable[str]) -> dict[str, Any]:
    """Returns the figures of a stage's metrics files among its outputs."""
    metrics: dict[str, Any] = {}
    for path in outs:
        if path.startswith("metrics/") and path.endswith(".json"):
            metrics |= _read(root / path)
    return metrics


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
