"""`whetstone run`: plan, and if something is stale start Prefect and bring it up to date.

Stages without stale dependencies start at once: Prefect takes seconds to import and its server seconds to
start, and only watches them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flows.graph.plan import Plan
from flows.running import prefect_server
from flows.running.live import Display
from flows.running.row_counts import standing_warnings
from flows.running.session import Outcome, Session, hand_over


@dataclass(frozen=True)
class Ran:
    """The result of a run. `code`: 0 done or nothing stale, 1 something failed or was stopped; `warnings`: of
    the stages that are fresh now, by name.
    """

    code: int
    run: str
    plan: Plan
    outcome: Outcome
    warnings: Mapping[str, list[str]] = field(default_factory=dict)

    def as_json(self, head: Mapping[str, Any] = MappingProxyType({})) -> str:
        """Returns one JSON object. `head` is what it begins with: the recipe and the user's own settings."""
        stages: dict[str, dict[str, Any]] = {
            row.stage: {
                "planned": row.action,
                "reasons": list(row.reasons),
                "ended": self.outcome.how.get(row.stage, "keep"),
            }
            for row in self.plan.rows
        }
        for name, rows in self.outcome.rows.items():
            stages[name]["rows"] = rows
        for name, warnings in self.warnings.items():
            stages[name]["warnings"] = warnings
        for name, why in self.outcome.why.items():
            stages[name]["error"] = why
        return json.dumps({**head, "run": self.run, "ok": self.code == 0, "stages": stages}, indent=1)


def run(root: Path, targets: Iterable[str], force: bool, jobs: int, display: Display, name: str = "") -> Ran:
    """Bring `targets` up to date. `name`: the run's, one of its own when empty. Raises ParamsError,
    UnknownStage, BadName, Busy; failures of stages are in the outcome.
    """
    with Session(root, targets, force, jobs, display, name) as session:
        if not session.todo:
            return _ran(0, session)
        with session.stopped_by_signals():
            _work(session, force)
        code = (
            1
            if session.outcome.failed
            or session.cancel.is_set()
            or set(session.todo) - set(session.outcome.how)
            else 0
        )
        return _ran(code, session)


def _ran(code: int, session: Session) -> Ran:
    """Returns the result with the warnings of every stage of the plan that did not fail: what lies there of a
    failed one is older.
    """
    failed = set(session.outcome.failed) | (set(session.todo) - set(session.outcome.how))
    fresh = [row.stage for row in session.plan.rows if row.stage not in failed]
    return Ran(code, session.run, session.plan, session.outcome, standing_warnings(session.root, fresh))


def _work(session: Session, force: bool) -> None:
    server = prefect_server.Server(session.root)  # starts while we go on
    try:
        session.begin()
        session.start_ahead()
        from flows.running.pipeline import drain, pipeline

        server.ready()
        hand_over(session)
        state: Any = pipeline.with_options(flow_run_name=session.run)(
            targets=list(session.targets), force=force, root=str(session.root), return_state=True
        )
        session.end_ahead()
        session.unreached(f"the flow ended early: {state.message}")
        drain()
    finally:
        if not session.outcome.how:
            session.cancel.set()
        session.end_ahead()
        server.stop()
