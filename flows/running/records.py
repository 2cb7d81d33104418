"""All that is written down of a run while it goes on, and whom it tells: its own record, MLflow, and what
`execution` names beside.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flows.graph.plan import Plan
from flows.running import flow_artifacts
from flows.running.curve_followers import CurveFollower
from flows.running.live import Display
from flows.running.main_metrics import main_metrics
from flows.running.notification import Notification
from flows.running.recorder import Recorder, stage_metrics
from flows.running.run_records import DONE, FAILED, STOPPED, RunRecord
from tasks.stage import Spec
from tasks.trackers import Home
from tasks.tracking_records import masked

PATIENCE_S = 10.0
MLFLOW = {DONE: "FINISHED", FAILED: "FAILED", STOPPED: "KILLED"}


class Records:
    """Of one run that has work. The methods return soon; what cannot be written is said, and fails no run."""

    def __init__(
        self,
        root: Path,
        run: str,
        targets: Iterable[str],
        plan: Plan,
        git: Mapping[str, Any],
        display: Display,
    ):
        self.root, self.plan, self._display = root, plan, display
        self.record = RunRecord.begin(root, run, list(targets), flow_artifacts.own_settings(root))
        self._outs: dict[str, str] = {}  # of the stages that this run brought up to date
        self._write()
        execution = plan.params.execution
        self._notification = Notification(root, run, execution.notify, display.say)
        self._notification.tell(self.record)
        home = Home(root, run, execution.offline)
        self._followers = [CurveFollower(kind, home, display.say) for kind in execution.trackers]
        tags = {f"git.{name}": value for name, value in git.items()}
        tags |= {"recipe": self.record.recipe, "own": "; ".join(self.record.own)}
        self._mlflow = Recorder(
            root,
            run,
            tags,
            [row.as_json() for row in plan.rows],
            display.say,
            flow_artifacts.set_params(root),
        )
        # of now: what is edited during the run is not its recipe
        self._mlflow.flow_made({}, flow_artifacts.recipe_texts(root, plan.params))

    def stage_started(self, spec: Spec, pid: int, why: tuple[str, ...]) -> None:
        self._mlflow.stage_started(spec, pid, why)
        for follower in self._followers:
            follower.stage_started(spec)

    def stage_command_ended(self, name: str) -> None:
        """Log the rest of the curve, while the work directory still exists."""
        read = [follower.stage_command_ended(name) for follower in self._followers]
        self._mlflow.stage_command_ended(name)
        # a tracker that is out of reach must not hold the stage longer
        end = time.monotonic() + PATIENCE_S
        for event in read:
            event.wait(max(0.0, end - time.monotonic()))

    def stage_ended(self, name: str, status: str, tags: dict[str, Any], outs: dict[str, str]) -> None:
        self._outs |= outs
        for follower in self._followers:
            follower.stage_ended(name, status == "FINISHED", stage_metrics(self.root, outs))
        self._mlflow.stage_ended(name, status, tags, outs)

    def close(self, outcome: str, stages: Mapping[str, Mapping[str, Any]], error: str | None = None) -> None:
        """Write down how the run ended. `stages`: of all that were stale, as in `RunRecord`."""
        bad = {name for name, facts in stages.items() if facts.get("error") or facts["ended"] == "skipped"}
        fresh = [row for row in self.plan.rows if row.stage not in bad]
        reported = any(row.stage == "report" for row in fresh)
        report = flow_artifacts.report_folder(self.root) if reported else {}
        self.record = self.record.ended(
            outcome,
            stages=stages,
            error=error and masked(error),
            metrics=main_metrics(self.root, fresh),
            report=str(report["report"] / "index.html") if report else None,
        )
        self._write()
        self._notification.tell(self.record)
        self._mlflow.flow_made(self.record.metrics, self._artifacts(report))
        note = flow_artifacts.described(self.record.recipe, self.record.own, stages)
        self._mlflow.close(MLFLOW[outcome], {"outcome": outcome, "mlflow.note.content": note})
        for follower in self._followers:
            follower.close()
        self._notification.wait()

    def stages_so_far(self, stages: Mapping[str, Mapping[str, Any]]) -> None:
        """Tell how the stages stand, for what is sent where the runner is killed."""
        self._notification.tell(self.record.with_stages(stages))

    def _artifacts(self, report: Mapping[str, Path]) -> dict[str, str | Path]:
        return {
            **report,
            **flow_artifacts.sample_texts(self.root, self._outs),
            **flow_artifacts.lineage_pages(self.root, self._outs),
        }

    def _write(self) -> None:
        with contextlib.suppress(OSError):  # a full disk: `status` does without
            self.record.write(self.root)
