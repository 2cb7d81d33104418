"""The Prefect flow: one task per stage, named after it, in DVC's order. Fresh stages show as Cached. Prefect
schedules, retries and displays.

It decides nothing: what is stale follows from DVC (`flows.graph.plan`). No task is cached by Prefect, whose
own cache returns the state of a stage whose files are gone (measured).
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner

from flows.graph.plan import PlanRow
from flows.running import executor, heal
from flows.running.session import Session, handed_over
from flows.workspace import find_root

SHOWN = {"keep": "Cached", "restore": "Restored", "recover": "Recorded", "run": "Completed"}
ARTIFACT_PERIOD_S = 5.0


def _key(text: str) -> str:
    """Returns the text as an artifact key of Prefect, which allows a-z, 0-9 and dashes only."""
    return "".join(character if character.isalnum() else "-" for character in text.lower())


class _Progress:
    """A stage's progress artifact. The thread that reads the stage's output updates it now and then."""

    def __init__(self, stage: str):
        self._stage, self._shown = stage, 0.0
        self._artifact: Any = None

    def __call__(self, row: dict[str, Any]) -> None:
        total = row.get("total") or 1
        if self._artifact is None or (
            time.monotonic() - self._shown < ARTIFACT_PERIOD_S and row.get("done") != total
        ):
            return
        self._shown = time.monotonic()
        update_progress_artifact(self._artifact, progress=min(100.0, 100.0 * row.get("done", 0) / total))

    def open(self) -> None:
        self._artifact = create_progress_artifact(
            progress=0.0, key=_key(f"progress-{self._stage}"), description=self._stage
        )


def _bring(session: Session, row: PlanRow) -> State[Any]:
    """Bring the stage up to date and return the task's state: the body of every task."""
    if row.action == "keep":
        return Completed(name="Cached", message="fresh", data=row.stage)
    logger, progress = get_run_logger(), _Progress(row.stage)
    if row.action in ("run", "run?"):
        progress.open()
    logger.info("%s: %s", row.action, "; ".join(row.reasons))
    watch = executor.StageWatch(line=lambda text: logger.info("%s", text), progress=progress)
    result = session.bring(row, watch)
    return Completed(
        name=SHOWN.get(result.action, "Completed"), message="; ".join(row.reasons)[:500], data=row.stage
    )


def _retriable(task_: Any, run: Any, state: State[Any]) -> bool:
    """Returns whether a failed task may be tried again: not a stopped stage, and not a drifted one, whose
    inputs have to settle first.
    """
    error = state.result(raise_on_failure=False)
    return not isinstance(error, (executor.StageCancelled, executor.StageDrifted))


_stage_task: Any = task(cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=_retriable)(_bring)


def _submit(session: Session) -> dict[str, Any]:
    futures: dict[str, Any] = {}
    execution = session.plan.params.execution
    for row in session.plan.rows:
        stage_task = _stage_task.with_options(
            name=row.stage,
            task_run_name=row.stage,
            tags=["gpu"] if row.meta.get("gpu") else [],
            retries=int(row.meta.get("retries", execution.retries)),
            retry_delay_seconds=1,
        )
        futures[row.stage] = stage_task.submit(
            session, row, wait_for=[futures[name] for name in row.upstream if name in futures]
        )
    return futures


def _run(session: Session) -> State[Any]:
    root = session.root
    if heal.unmended(root):
        heal.mend_prefect(root)
    if flow_run.id:
        heal.claim_prefect(root, str(flow_run.id))
    table = [
        {"stage": row.stage, "action": row.action, "why": "; ".join(row.reasons)[:400]}
        for row in session.plan.rows
    ]
    create_table_artifact(key="plan", table=table, description="What runs, and why")
    futures = _submit(session)
    for name, future in futures.items():
        future.wait()
        if name in session.todo and not future.state.is_completed():
            session.skipped(name)
    report = root / "reports" / "report.md"
    if report.exists() and "report" in session.todo and "report" not in session.outcome.failed:
        create_markdown_artifact(key="report", markdown=report.read_text("utf-8"))
    summary = {"run": session.run, "stages": session.outcome.how}
    if session.cancel.is_set():
        return Cancelled(message="stopped", data=json.dumps(summary))
    if session.outcome.failed:
        first = "; ".join(
            f"{name}: {session.outcome.why.get(name, '')}" for name in session.outcome.failed[:3]
        )
        return Failed(message=first[:2000], data=summary)
    return Completed(message=f"{len(session.todo)} stages brought up to date", data=summary)


def _rename(run: str) -> None:
    """Give the flow run of a deployment, which Prefect has named, the run's name."""
    from prefect.client.orchestration import get_client

    if flow_run.id:
        with get_client(sync_client=True) as client:
            client.update_flow_run(UUID(str(flow_run.id)), name=run)


def drain(timeout: float = 5) -> None:
    """Let Prefect's threads send what they still hold, before the server stops."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all(timeout=timeout)
    EventsWorker.drain_all(timeout=timeout)


# a waiting task holds a thread; `jobs` limits what really runs
RUNNER: Any = ThreadPoolTaskRunner(max_workers=256)


@flow(name="whetstone", task_runner=RUNNER, persist_result=False, log_prints=False)
def pipeline(targets: list[str] | None = None, force: bool = False, root: str | None = None) -> Any:
    """Bring `targets` (stages; all when empty) up to date; `force` runs them even when fresh. `root` is the
    project's folder.
    """
    session = handed_over()
    if session is not None:
        with session.stopped_by_signals():  # again: Prefect has put its own handler in place
            return _run(session)
    with (
        Session(find_root(Path(root) if root else None), targets or [], force) as new_session,
        new_session.stopped_by_signals(),
    ):
        if not new_session.todo:
            return Completed(message="nothing is stale", data={})
        new_session.begin()
        _rename(new_session.run)
        return _run(new_session)
