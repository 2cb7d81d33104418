"""What there is of a run at this moment: its stages with their states, the curves so far, the newest samples.

Files that a stage is just writing are read as far as they are whole.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.graph import families
from flows.running import now
from flows.workspace import STATE, read_json
from tasks.report_page.stages import MEMBER
from tasks.stage import CURVE, SHOWN_SAMPLES

Row = dict[str, Any]

RUNNING, FRESH, WAITING, STALE, CUT_SHORT = "running", "fresh", "waiting", "stale", "cut short"
GOOD = ("done", "cached", "restored", "recorded")  # how a stage may have ended well
ROWS = 8  # samples of a stage
HEAD_BYTES = 1 << 18  # of a file of samples, which may be large


@dataclass(frozen=True)
class StageNow:
    """A stage. `state`: fresh, waiting, running, stale, cut short (it ran when the run was killed), or how it
    ended; `seconds`: for how long it has run, `last_s` when it ran last; `progress`: {"done", "total",
    "left_s", figures…} of a running one.
    """

    name: str
    state: str
    why: str = ""
    seconds: float | None = None
    last_s: float | None = None
    progress: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StageSamples:
    """Some responses of a stage: {"prompt", "text", "verdict", …} as files of samples have them. `step`: the
    iteration that gave them, None for an evaluation.
    """

    stage: str
    step: int | None
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Snapshot:
    """`state`: as `now.state` says it. `curves`: rows {"step", …} by the stage's name, in the plan's
    order.
    """

    run: str
    state: str
    since: float | None
    until: float | None
    stages: tuple[StageNow, ...]
    said: tuple[str, ...]
    curves: Mapping[str, list[Row]]
    samples: tuple[StageSamples, ...]
    taken: float

    def of(self, *states: str) -> list[StageNow]:
        """Returns the stages in one of these states."""
        return [stage for stage in self.stages if stage.state in states]


def gather(root: Path, planned: Iterable[Mapping[str, Any]] | None = None) -> Snapshot:
    """Returns what there is. `planned`: the rows of a plan of this moment, where no run is on; without them
    those of the run's own record.
    """
    record, taken = now.latest(root), time.time()
    state = now.state(record)
    timings = read_json(root / STATE / "timings.json") or {}
    rows = list(record.get("plan", ()) if planned is None else planned)
    stages = tuple(_stage(row, record, state, planned is not None, timings, taken) for row in rows)
    return Snapshot(
        run=record.get("run", ""),
        state=state,
        since=record.get("since"),
        until=record.get("until"),
        stages=stages,
        said=tuple(record.get("said", ())),
        curves=_curves(root, stages, record.get("work", {})),
        samples=tuple(_samples(root, stages, record.get("work", {}))),
        taken=taken,
    )


def _stage(row: Row, record: Row, state: str, anew: bool, timings: Row, taken: float) -> StageNow:
    """`anew`: the row is of a plan made after the run, which knows better what is fresh now."""
    name, kept = row["stage"], row["action"] == "keep"
    ended, runs = (record.get(key, {}).get(name) for key in ("ended", "stages"))
    last = (timings.get(name) or {}).get("wall_s")
    why = row["reasons"][0] if row["reasons"] else ""
    if ended and (not anew or kept == (ended["how"] in GOOD)):
        return StageNow(name, ended["how"], ended["detail"] or why, ended["seconds"])
    if kept:
        return StageNow(name, FRESH, last_s=last)
    if runs and state in (RUNNING, "died"):
        seconds = (taken if state == RUNNING else runs.get("at", runs["since"])) - runs["since"]
        how = RUNNING if state == RUNNING else CUT_SHORT
        return StageNow(name, how, runs["why"], seconds, last, runs.get("progress") or {})
    return StageNow(name, WAITING if state == RUNNING else STALE, why, last_s=last)


def _curves(root: Path, stages: Iterable[StageNow], work: Mapping[str, Row]) -> dict[str, list[Row]]:
    """Returns the curves of what is not fresh; of everything where nothing else has one."""
    curves = {
        stage.name: rows
        for stage in stages
        if (path := _curve_file(root, stage, work)) and (rows := read_curve(path))
    }
    fresh = {stage.name for stage in stages if stage.state == FRESH}
    return {name: rows for name, rows in curves.items() if name not in fresh} or curves


def _curve_file(root: Path, stage: StageNow, work: Mapping[str, Row]) -> Path | None:
    """Returns where a stage's curve lies: in its work directory while that is there, then among the outputs
    of one that ended well.
    """
    folder = (work.get(stage.name) or {}).get("folder")
    if folder and stage.state != FRESH and (Path(folder) / CURVE).is_file():
        return Path(folder) / CURVE
    family, _, member = stage.name.partition("@")
    written = families.reported(root).get(family, {}).get("curve")
    return root / written.replace(MEMBER, member) if written and stage.state in (FRESH, *GOOD) else None


def read_curve(path: Path) -> list[Row]:
    """Returns the rows of a curve that have a step. What is half-written, or no row, is left out."""
    try:
        text = path.read_bytes()
    except OSError:
        return []
    return [row for row in _objects(text) if isinstance(row.get("step"), int)]


def _samples(root: Path, stages: Iterable[StageNow], work: Mapping[str, Row]) -> Iterator[StageSamples]:
    """Yields the newest samples of what runs, or was stopped, and of the evaluations of this run."""
    for stage in stages:
        facts = work.get(stage.name)
        if facts is None or stage.state == FRESH:
            continue
        shown = read_json(Path(facts["folder"]) / SHOWN_SAMPLES)
        if isinstance(shown, dict) and isinstance(shown.get("rows"), list):
            yield from _some(stage.name, shown.get("step"), shown["rows"])
        elif stage.state in GOOD:
            for out in facts["outs"]:
                if out.startswith("samples/") and out.endswith(".jsonl"):
                    yield from _some(stage.name, None, read_head(root / out))


def _some(stage: str, step: Any, rows: Iterable[Any]) -> Iterator[StageSamples]:
    kept = tuple(row for row in rows if isinstance(row, dict) and _is_sample(row))[:ROWS]
    if kept:
        yield StageSamples(stage, step if isinstance(step, int) else None, kept)


def _is_sample(row: Row) -> bool:
    return all(isinstance(row.get(name), str) for name in ("prompt", "text", "verdict"))


def read_head(path: Path) -> list[Row]:
    """Returns the rows at the beginning of a file of samples."""
    try:
        with open(path, "rb") as stream:
            return list(_objects(stream.read(HEAD_BYTES)))
    except OSError:
        return []


def _objects(text: bytes) -> Iterator[Row]:
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):  # not written to its end yet, or cut by our own limit
            continue
        if isinstance(value, dict):
            yield value
