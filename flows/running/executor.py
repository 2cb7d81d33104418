"""Running one stage: pin its inputs, run its command, and record the result with the inputs that were pinned.

DVC itself hashes dependencies after the command, so an edit made during a long training would be recorded as
if it had been trained with it. Here the order is pin, run, compare, record; a result whose inputs changed
meanwhile is kept out of dvc.lock and of the run cache.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.graph import aside, codelock, dvc_api, dvc_leftovers, dvc_record, dvc_run_cache, source_lock, spec
from flows.graph.params import load
from flows.provenance.content import remember_raw
from flows.running import leftovers, proxies
from flows.running.damage import set_damaged_aside
from flows.running.headline import cause
from flows.running.process import Command, Ended
from flows.workspace import STATE, read_json, write_json
from pipelines.quiet import DEFAULTS
from tasks.execution_params import ExecutionParams
from tasks.publish import DONE, published
from tasks.reads import KERNELS
from tasks.stage import Spec

_TIMES = threading.Lock()
FULL_BYTES = 1 << 20  # less free space than this: whatever failed, it failed for want of it


class StageFailed(RuntimeError):
    """The stage's command failed, timed out or could not be recorded."""


class StageCancelled(StageFailed):
    """The run was stopped."""


class StageDrifted(StageFailed):
    """Inputs, parameters or code changed while the stage ran."""


@dataclass(frozen=True)
class Result:
    """How a stage ended. `action`: keep, checkout, restore, run, or recover (the command had finished, and
    its result was not recorded yet).
    """

    stage: str
    action: str
    key: str = ""
    seconds: float = 0.0
    command_seconds: float = 0.0
    outs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StageWatch:
    """Callbacks of a running stage."""

    line: Callable[[str], None] = lambda text: None
    progress: Callable[[dict[str, Any]], None] = lambda row: None
    started: Callable[[Spec, int], None] = lambda spec, pid: None
    command_ended: Callable[[], None] = lambda: None


@dataclass
class _Prepared:
    stack: contextlib.ExitStack
    spec: Spec
    pinned: dict[str, tuple[Any, Any]]
    command: Any
    cwd: str
    finished: bool
    grace: float


def run_stage(
    root: Path,
    name: str,
    execution: ExecutionParams,
    run: dict[str, Any],
    git: dict[str, Any],
    cancel: threading.Event,
    watch: StageWatch = StageWatch(),
    force: bool = False,
    timeout: float = 0,
    turn: Callable[[], contextlib.AbstractContextManager[Mapping[str, str]]] = contextlib.nullcontext,  # type: ignore[assignment]
) -> Result:
    """Bring one stage up to date. Raises StageFailed, StageCancelled or StageDrifted; the earlier result then
    stays in place.

    `turn` is held while the command runs, and gives it further environment variables: where GPUs or cores are
    shared, one stage pins or records while another computes. Waiting for it is not counted in seconds.
    """
    started = time.monotonic()
    with _disk_errors(root, name):
        prepared = _prepare(root, name, execution, run, git, force, watch.line)
    if isinstance(prepared, Result):
        return Result(name, prepared.action, seconds=time.monotonic() - started, outs=prepared.outs)
    seconds = 0.0
    with prepared.stack, _disk_errors(root, name):
        if not prepared.finished:
            waited = -time.monotonic()
            with turn() as env:
                waited += time.monotonic()
                if cancel.is_set():
                    raise StageCancelled(f"{name} was not started: the run was stopped")
                ended = _command(root, prepared, cancel, watch, timeout, env or {})
            seconds = ended.seconds
            started += waited
            watch.command_ended()
        outs = _record(root, name, prepared)
    discard(Path(prepared.spec.work))
    action = "recover" if prepared.finished else "run"
    result = Result(name, action, prepared.spec.key, time.monotonic() - started, seconds, outs)
    _note_timing(root, result, run)
    return result


def _prepare(
    root: Path,
    name: str,
    execution: ExecutionParams,
    run: dict[str, Any],
    git: dict[str, Any],
    force: bool,
    say: Callable[[str], None],
) -> _Prepared | Result:
    """Under the repository lock: keep or restore the result; or else pin the inputs and take DVC's
    reader/writer lock for the run.
    """
    with dvc_api.locked_repo(root) as repo:
        stage = repo.stage.load_one(name=name)
        if not force:
            set_damaged_aside(root, repo, stage, say)
            recorded = dvc_api.lock_entries(repo).get(name)
            doubted = recorded is not None and bool(dvc_run_cache.judge(repo, name, recorded).differences)
            if not doubted and not stage.changed():
                return Result(name, "keep")
            with _explained(name, "restoring it"):
                if dvc_run_cache.restore(repo, stage, doubted):
                    _refresh_code_lock(root, repo, name)
                    discard(
                        spec.work_directory(root, name, spec.key_of(stage, dvc_record.pin(stage)))
                    )  # of a run killed while it recorded this
                    return Result(
                        name, "restore", outs={out.def_path: out.hash_info.value for out in stage.outs}
                    )
        try:
            pinned = dvc_record.pin(stage)
            dvc_run_cache.check_inputs(repo, stage, pinned)
        # DVC raises its own kinds for a missing file or key; all mean that the stage cannot start
        except Exception as error:
            raise StageFailed(f"{name} cannot start: {error}") from error
        stage_spec = spec.build(root, stage, pinned, execution.of_stages(), run, git)
        remember_raw(root, stage_spec.inputs)
        work = Path(stage_spec.work)
        if force:
            discard(work)
        aside.clear(root, stage_spec)
        work.mkdir(parents=True, exist_ok=True)
        stage_spec.write(work / "spec.json")
        is_python_stage = dvc_api.command(stage).startswith(codelock.COMMAND)
        finished = is_python_stage and published(work, root, stage_spec.outs)
        stack = contextlib.ExitStack()
        with _explained(name, "taking DVC's lock on its paths"):
            stack.enter_context(dvc_record.stage_lock(repo, stage))
        # a foreign command writes its outputs in place, and expects DVC's habit of removing the old ones
        # first
        if not is_python_stage:
            stage.remove_outs(ignore_remove=False, force=False)
        return _Prepared(stack, stage_spec, pinned, stage.cmd, stage.wdir, finished, execution.grace_s)


def _command(
    root: Path,
    prepared: _Prepared,
    cancel: threading.Event,
    watch: StageWatch,
    timeout: float,
    env: Mapping[str, str],
) -> Ended:
    stage_spec = prepared.spec
    log = (
        root
        / STATE
        / "logs"
        / str(stage_spec.run.get("flow_run") or "alone")
        / f"{stage_spec.stage.replace('@', '-')}.log"
    )
    base = {
        **DEFAULTS,
        "NUMBA_CACHE_DIR": str(root / KERNELS),
        **os.environ,
        **proxies.set_aside_variables(),
        **env,
        "WHETSTONE_SPEC": str(Path(stage_spec.work) / "spec.json"),
        "DVC_STAGE": stage_spec.stage,
        "DVC_ROOT": str(root),
    }
    # `python` is the one that runs us
    base["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), base.get("PATH", "")])
    base["PYTHONUNBUFFERED"] = "1"
    commands = prepared.command if isinstance(prepared.command, list) else [prepared.command]
    ended = Ended(0)
    for line in commands:
        running = Command(
            ["/bin/sh", "-c", f"exec {line}" if _simple(line) else line],
            Path(prepared.cwd),
            base,
            log,
            prepared.grace,
            watch.line,
            watch.progress,
        )
        watch.started(stage_spec, running.process.pid)
        ended = running.wait(cancel, timeout)
        if ended.stopped == "cancelled":
            raise StageCancelled(
                f"{stage_spec.stage} was stopped; the next run resumes from its last checkpoint"
            )
        if ended.stopped:
            raise StageFailed(
                f"{stage_spec.stage} {ended.stopped} and was stopped (meta.timeout or "
                f"execution.timeout_s sets the limit); log: {log}"
            )
        if ended.code:
            hint, why = _hint(ended.tail, stage_spec.work), aside.refused(Path(stage_spec.work))
            message = aside.kept_message(root, aside.keep(root, stage_spec, why) if why else None)
            raise StageFailed(
                f"{stage_spec.stage} exited with {_code(ended.code)}: "
                f"{cause(ended.tail) or 'it printed nothing'}{hint}{message}\n  log: {log}"
            )
    return ended


def _simple(line: str) -> bool:
    return not any(mark in line for mark in ";&|<>\n()`$")


def _code(code: int) -> str:
    """Returns an exit code as text. A shell reports a command that a signal ended as 129 to 192, Python as a
    negative number.
    """
    number = -code if code < 0 else code - 128
    if number not in set(signal.Signals):
        return str(code)
    return (
        f"{code} (killed by "
        f"{signal.Signals(number).name}{'; out of memory?' if number == signal.SIGKILL else ''})"
    )


def _hint(tail: tuple[str, ...], work: str) -> str:
    """Returns advice where the disk is full, which torch and safetensors do not name as the cause of a failed
    write; else empty.
    """
    if (
        any(phrase in line for line in tail for phrase in ("No space left", "disk is full"))
        or shutil.disk_usage(work).free < FULL_BYTES
    ):
        return (
            f"\n  the disk of {work} is full: free some space and run again; the earlier results are "
            f"untouched"
        )
    return ""


def discard_recorded(root: Path, fresh: Iterable[str]) -> None:
    """Remove the work directories of recorded results, which a run leaves when it is killed just after
    recording.
    """
    work = root / STATE / "work"
    names = [name for name in fresh if any(work.glob(f"{name.replace('@', '-')}-*/{DONE}"))]
    if names:
        with dvc_api.locked_repo(root) as repo:
            for name in names:
                stage = repo.stage.load_one(name=name)
                discard(spec.work_directory(root, name, spec.key_of(stage, dvc_record.pin(stage))))


def discard(work: Path) -> None:
    """Remove a work directory. It is renamed first, so that a kill does not leave half a checkpoint where a
    later run would resume.
    """
    doomed = work.with_name(f"{work.name}{leftovers.GONE}")
    if doomed.exists():
        shutil.rmtree(doomed, ignore_errors=True)
    if work.exists():
        os.replace(work, doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _record(root: Path, name: str, prepared: _Prepared) -> dict[str, str]:
    """Compare the inputs with the pinned ones, then write the outputs into the cache, the run cache and
    dvc.lock.
    """
    with dvc_api.locked_repo(root) as repo:
        stage = repo.stage.load_one(name=name)
        changed = []
        if stage.cmd != prepared.command or {dep.def_path for dep in stage.deps} != set(prepared.pinned):
            changed = ["dvc.yaml"]
        else:
            codelock.write(root, codelock.digests(root, dvc_api.declared(repo), load(root)))
            changed = dvc_record.changed_inputs(stage, prepared.pinned)
        if changed:
            shown = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
            folder = aside.keep(root, prepared.spec, f"{shown} changed while it ran")
            discard(Path(prepared.spec.work))
            raise StageDrifted(
                f"{name} drifted: {shown} changed while it ran. Its result is not recorded; run "
                f"again.{aside.kept_message(root, folder)}"
            )
        try:
            outs = dvc_record.record(repo, stage, prepared.pinned, prepared.command)
            _refresh_code_lock(root, repo, name)
            dvc_run_cache.trust(repo, outs)
            return outs
        # a full disk, an output that vanished: DVC's kinds are many, the way out is the same
        except Exception as error:
            hint = _hint((str(error),), str(root))
            dvc_leftovers.drop_partial_objects(repo)
            raise StageFailed(
                f"{name} ran, but its result could not be recorded: {error}. The next run records it without "
                f"retraining{hint}"
            ) from error


def _refresh_code_lock(root: Path, repo: Any, name: str) -> None:
    """After a source was fetched, write its digest into code.lock.json for the stages that use it, and its
    commit into source.lock.json.
    """
    if name.startswith(source_lock.STAGE):
        params = load(root)
        source_lock.write(root, params)
        codelock.write(root, codelock.digests(root, dvc_api.declared(repo), params))
        dvc_record.record_code_stage(repo)


@contextlib.contextmanager
def _disk_errors(root: Path, name: str) -> Iterator[None]:
    """Raise errors of the file system and of DVC's sqlite files as a failure of the stage."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise StageFailed(f"{name}: {error}{_hint((str(error),), str(root))}") from error


@contextlib.contextmanager
def _explained(name: str, doing: str) -> Iterator[None]:
    try:
        yield
    except dvc_api.lock_error() as error:
        raise StageFailed(f"{name}: another DVC command works on its files; wait for it. {error}") from error
    except dvc_api.dvc_error() as error:
        raise StageFailed(f"{name}: {doing} failed: {error}") from error


def _note_timing(root: Path, result: Result, run: dict[str, Any]) -> None:
    """Write the times of the latest real run, for the report and for people."""
    # a disk that is full by now must not fail a stage that is recorded
    with _TIMES, contextlib.suppress(OSError):
        path = root / STATE / "timings.json"
        timings = read_json(path) or {}
        timings[result.stage] = {
            "wall_s": round(result.seconds, 3),
            "command_s": round(result.command_seconds, 3),
            "action": result.action,
            "run": run.get("flow_run"),
        }
        write_json(path, timings)
