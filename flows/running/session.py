"""One run of the graph, however it is scheduled: its plan, its id, its records, and how a single stage is
brought up to date.

It does not use Prefect: the flow in `flows.running.pipeline` calls it, and keeps no state of its own (a
deployment pickles the flow's globals).
"""

from __future__ import annotations

import contextlib
import functools
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.graph import dvc_api, fill, plan, seeds
from flows.graph.params_file import PARAMS
from flows.graph.plan import Plan, PlanRow
from flows.graph.spec import git_facts
from flows.provenance import snapshot
from flows.public import wanted
from flows.running import executor, heal, leftovers
from flows.running.head_start import HeadStart
from flows.running.live import Display, Silent
from flows.running.live_report.child import LiveReport
from flows.running.now import Noted
from flows.running.row_counts import rows_of, warnings_of
from flows.running.run_records import DONE, FAILED, STOPPED, mark_killed, new_name
from flows.workspace import STATE, gpu_slot, only_one_run, write_json
from pipelines.corpora.records.rows_kept import rows_sentence
from tasks.stage import Spec
from tasks.stage_warnings import MARK
from tasks.tracking_records import masked

if TYPE_CHECKING:  # a run without work records nothing and need not import it
    from flows.running.records import Records


@dataclass
class Outcome:
    """How the stages ended. `how`: stage -> "run", "keep", …, "failed", "stopped" or "skipped"; `why`: the
    cause for those that did not end well; `rows`: kept and lost rows of stages that count them.
    """

    how: dict[str, str] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def failed(self) -> list[str]:
        return [name for name, how in self.how.items() if how in ("failed", "skipped", "stopped")]


class Session:
    """A run that holds the workspace while it is open. With an empty `todo` nothing is stale and nothing was
    started.
    """

    def __init__(
        self,
        root: Path,
        targets: Iterable[str] = (),
        force: bool = False,
        jobs: int = 0,
        display: Display | None = None,
        name: str = "",
    ):
        self.root, self.targets, self.force = root, list(targets), force
        self.run = name
        self._shown_on = display or Silent()
        self.cancel = threading.Event()
        self.outcome = Outcome()
        self.dead: dict[str, Any] | None = None
        self._stack = contextlib.ExitStack()
        self._jobs = jobs
        self._ahead: dict[str, HeadStart] = {}
        self._records: Records | None = None
        self._live: LiveReport | None = None
        self._git: dict[str, Any] = {"commit": None, "dirty": False, "snapshot": None}
        self.plan: Plan
        self.display: Noted

    def __enter__(self) -> Session:
        self._stack.enter_context(only_one_run(self.root))
        try:
            self.run = new_name(self.root, self.run)
            self.display = Noted(self._shown_on, self.root, self.run)
            self.dead = heal.dead_owner(self.root)
            if self.dead or heal.rwlock_cut_short(self.root) or heal.lock_emptied(self.root):
                self._mend()
            if self.dead:
                mark_killed(self.root, self.dead["run"])
                self.display.say(
                    f"the last run ({self.dead['run']}) did not end by itself; its unfinished stages resume "
                    f"from their checkpoints"
                )
            for key in seeds.write(self.root):
                self.display.say(f"{PARAMS}: added {key}")
            for key in fill.write(self.root):
                self.display.say(f"{PARAMS}: added {key}: {fill.NONE}")
            asked = functools.partial(plan.expand, targets=self.targets, missing_ok=True)
            wanted.bring_all(self.root, asked if self.targets else None, self.display.say)
            try:
                self.plan = plan.make(self.root, self.targets, self.force, record=True)
            except dvc_api.BrokenLock:
                self._mend()
                self.plan = plan.make(self.root, self.targets, self.force, record=True)
            heal.claim(self.root, self.run)
        except BaseException:
            self._stack.close()
            raise
        self.todo = {row.stage: row for row in self.plan.todo}
        if self.dead:
            executor.discard_recorded(
                self.root, [row.stage for row in self.plan.rows if row.stage not in self.todo]
            )
        self.slots = threading.BoundedSemaphore(self._jobs or self.plan.params.execution.jobs)
        return self

    def _mend(self) -> None:
        for message in heal.mend_files(self.root):
            self.display.say(message)

    def begin(self) -> None:
        """Prepare the work: end what a killed run left, store the source state, open the run's records and
        the live report.
        """
        self._shown_on.say(f"run {self.run}")
        self.display.plan(row.as_json() for row in self.plan.rows)
        self._live = LiveReport(self.root, self.run, self._shown_on.say)
        ended = leftovers.end_all(self.root)
        if ended:
            self.display.say(f"ended {ended} processes that a killed run had left behind")
        try:
            self._git = snapshot.take(self.root, self.run).as_git()
        except snapshot.NoGit as error:
            self.display.say(str(error))
        # a full disk, a broken repository: no reason not to train
        except (OSError, subprocess.CalledProcessError) as error:
            self._git |= git_facts(self.root)
            self.display.say(
                f"the source state could not be kept under refs/pipeline: {_git_error(error)}; lineage then "
                f"knows the commit only"
            )
        with contextlib.suppress(OSError):  # the report does without
            write_json(
                self.root / STATE / "graph.json", {row.stage: list(row.upstream) for row in self.plan.rows}
            )
        from flows.running.records import Records

        self._records = Records(self.root, self.run, self.targets, self.plan, self._git, self.display)

    @contextlib.contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Stop the stages in good order on SIGINT and SIGTERM; Prefect's own handler would leave them to
        their lifelines.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: object) -> None:
            if not self.cancel.is_set():
                self.display.say("stopping; running stages write a checkpoint and end")
            self.cancel.set()

        previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def start_ahead(self) -> None:
        """Start the stages without stale dependencies; `bring` joins them. Prefect takes seconds to start,
        and they do not need it.
        """
        # Prefect imports it here while MLflow does in the threads, and half a module is what one of them gets
        import fastapi  # noqa: F401

        for row in self.plan.todo:
            if not any(name in self.todo for name in row.upstream):
                self._ahead[row.stage] = HeadStart(row.stage, functools.partial(self._bring, row))

    def end_ahead(self) -> None:
        """Stop the stages that no task has joined because Prefect failed."""
        if self._ahead:
            self.cancel.set()
        while self._ahead:
            self._ahead.popitem()[1].wait()

    def bring(self, row: PlanRow, watch: executor.StageWatch = executor.StageWatch()) -> executor.Result:
        """Bring one stage up to date, in one of the slots. Raises StageFailed or a subclass; the outcome is
        noted in any case.
        """
        ahead = self._ahead.pop(row.stage, None)  # once: a task that is tried again brings the stage itself
        return ahead.join(watch) if ahead else self._bring(row, watch)

    def _bring(self, row: PlanRow, watch: executor.StageWatch) -> executor.Result:
        name, execution = row.stage, self.plan.params.execution
        records = self._records
        started = time.monotonic()
        forced = self.force and (
            not self.targets or name in plan.expand([row.stage], self.targets, missing_ok=True)
        )

        def on_start(spec: Spec, pid: int) -> None:
            self.display.started(name, row.reasons[0] if row.reasons else "", spec.work, spec.outs)
            if records:
                records.stage_started(spec, pid, row.reasons)
            watch.started(spec, pid)

        def on_line(text: str) -> None:
            self.display.line(name, text)
            watch.line(text)

        def on_progress(figures: dict[str, Any]) -> None:
            self.display.progress(name, figures)
            watch.progress(figures)

        inner = executor.StageWatch(
            on_line, on_progress, on_start, lambda: records.stage_command_ended(name) if records else None
        )
        timeout = float(row.meta.get("timeout", execution.timeout_s))
        run = {"flow_run": self.run, "started": time.time()}
        try:
            with self._job(name):
                turn = functools.partial(self._turn, row)
                result = executor.run_stage(
                    self.root, name, execution, run, self._git, self.cancel, inner, forced, timeout, turn
                )
        except BaseException as error:
            self._note_failure(name, error, time.monotonic() - started)
            raise
        shown = {"keep": "Cached", "restore": "Restored", "recover": "Recorded"}.get(result.action, "Done")
        self.outcome.how[name], self.outcome.seconds[name] = result.action, result.seconds
        rows = rows_of(self.root, result.outs)
        if rows is not None:
            self.outcome.rows[name] = rows
        self.display.ended(name, shown, result.seconds, "" if rows is None else rows_sentence(rows))
        for warning in warnings_of(self.root, result.outs):
            self.display.say(f"{MARK}{name}: {warning}")
        if records and result.action in ("run", "recover", "restore"):
            records.stage_ended(name, "FINISHED", {"action": result.action}, result.outs)
            records.stages_so_far(self._stages(self.outcome.how))
        return result

    @contextlib.contextmanager
    def _job(self, name: str) -> Iterator[None]:
        """Hold one of the slots for stages that are worked on at the same time."""
        while not self.slots.acquire(timeout=0.2):
            if self.cancel.is_set():
                raise executor.StageCancelled(f"{name} was not started: the run was stopped")
        try:
            if self.cancel.is_set():
                raise executor.StageCancelled(f"{name} was not started: the run was stopped")
            yield
        finally:
            self.slots.release()

    @contextlib.contextmanager
    def _turn(self, row: PlanRow) -> Iterator[dict[str, str]]:
        """Hold the GPUs, or the cores, that the stage's command uses; yields the variables that name them."""
        execution, gpus = self.plan.params.execution, int(row.meta.get("gpu", 0))
        # without a GPU such stages take turns on the cores: two of them, each with its threads, ran ten times
        # slower
        slots = execution.gpus or execution.cpu_slots
        with contextlib.ExitStack() as stack:
            try:
                devices = stack.enter_context(
                    gpu_slot(self.root, slots, gpus if execution.gpus else min(gpus, 1), self.cancel)
                )
            except InterruptedError:
                raise executor.StageCancelled(f"{row.stage} was not started: the run was stopped") from None
            yield {"CUDA_VISIBLE_DEVICES": devices} if execution.gpus and devices else {}

    def _note_failure(self, name: str, error: BaseException, seconds: float) -> None:
        stopped = isinstance(error, (executor.StageCancelled, InterruptedError, KeyboardInterrupt))
        self.outcome.how[name] = "stopped" if stopped else "failed"
        self.outcome.why[name], self.outcome.seconds[name] = str(error), seconds
        self.display.ended(name, "Stopped" if stopped else "Failed", seconds, str(error))
        if self._records:
            tags = {"error": str(error)[:4000], "drifted": isinstance(error, executor.StageDrifted)}
            self._records.stage_ended(name, "KILLED" if stopped else "FAILED", tags, {})
            self._records.stages_so_far(self._stages(self.outcome.how))

    def skipped(self, name: str) -> None:
        """Note a stage that was not tried because one that it depends on did not end well."""
        if name not in self.outcome.how:
            self.outcome.how[name] = "skipped"
            self.outcome.why[name] = "a stage that it depends on failed or was stopped"
            self.display.ended(name, "Skipped", 0)

    def unreached(self, why: str) -> None:
        """Note the stages that no task has reported on when the flow is over (Prefect's server may have
        stopped).
        """
        for name in self.todo:
            if name not in self.outcome.how:
                self.outcome.how[name], self.outcome.why[name] = "skipped", why
                self.display.ended(name, "Skipped", 0, why)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            self.display.close(self._ended(error))
            if self._live:
                self._live.finish()
            if self._records:
                self._records.close(
                    self._ended(error), self._stages(self.todo), None if error is None else str(error)
                )
                self._keep()
            if self._live:
                self._live.close()
            heal.release(self.root)
        finally:
            self._stack.close()

    def _ended(self, error: BaseException | None) -> str:
        if isinstance(error, Exception):
            return FAILED
        if error is not None or self.cancel.is_set():
            return STOPPED
        return FAILED if self.outcome.failed or set(self.todo) - set(self.outcome.how) else DONE

    def _stages(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Returns how stages ended, as the run's record has it."""
        outcome = self.outcome
        return {
            name: {
                "ended": outcome.how.get(name, "skipped"),
                **({"seconds": round(outcome.seconds[name], 1)} if name in outcome.seconds else {}),
                **({"error": masked(outcome.why[name])} if name in outcome.why else {}),
            }
            for name in list(names)
        }

    def _keep(self) -> None:
        """Store dvc.lock as it is after the run, as a copy and in git. A failure here (a full disk) affects
        no result and must not hide other errors.
        """
        try:
            heal.keep_good_lock(self.root)
            snapshot.take(self.root, self.run)
        except snapshot.NoGit:
            pass  # said when the run began
        except (OSError, sqlite3.Error, subprocess.CalledProcessError) as error:
            self.display.say(
                f"dvc.lock could not be kept aside: {_git_error(error)}; the results themselves are in place"
            )


def _git_error(error: Exception) -> str:
    """Returns git's own message; CalledProcessError contains only the exit code."""
    return " ".join([*getattr(error, "__notes__", []), str(error)][:1])


_handed: list[Session] = []


def hand_over(session: Session) -> None:
    """Pass an open session to the flow that is called next in this process."""
    _handed.append(session)


def handed_over() -> Session | None:
    return _handed.pop() if _handed else None
