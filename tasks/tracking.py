"""MLflow: one run per flow, a child run per executed stage, and model versions that point to DVC objects. The
runner writes it, not the stages.

Only the low-level client is used (the fluent one keeps state per thread); it is imported on first use, since
MLflow takes over a second. Tracking records the work and is never a part of it: every call goes through one
guard (`tracked`), which turns a locked, corrupt or missing store into one warning, waits a bounded time, and
lets the stage continue.
"""

from __future__ import annotations

import functools
import json
import os
import posixpath
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tasks import tracking_names
from tasks.curve_rows import appended
from tasks.tracking_names import model_name
from tasks.tracking_records import Owner, flat, in_batches, input_datasets, metric_name, public, row_metrics
from tasks.tracking_store import Store

Call = TypeVar("Call", bound=Callable[..., Any])

__all__ = ["CURRENT", "Tracking", "model_name", "tracked"]

# the alias of the version that was made or restored last; MLflow reserves `latest` and forbids setting it
CURRENT = "current"
PAUSE_S = 30.0  # how long a failed store is left alone: a stage never waits twice in a row for it


def tracked(call: Call) -> Call:
    """Guard a method that uses the store: failures of the store are reported once, and the method returns
    None.
    """
    reads_only = call.__name__ in ("heal", "versions", "run_facts")

    @functools.wraps(call)
    def guarded(self: Tracking, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            if time.monotonic() < self._paused_until or (reads_only and not self.store.exists):
                return None
            try:
                self.store.check()
                return _retry_races(lambda: call(self, *args, **kwargs))
            except self.store.failures() as error:
                self._paused_until = time.monotonic() + PAUSE_S
                self._warn(error)
                return None

    return guarded  # type: ignore[return-value]


def _retry_races(call: Callable[[], Any], attempts: int = 4) -> Any:
    """Returns what `call` returns, after retries: two stages that log the same dataset at once violate a
    UNIQUE index (in about half of parallel flows, measured).
    """
    for attempt in range(attempts):
        try:
            return call()
        except Exception as error:
            if attempt + 1 == attempts or "UNIQUE constraint" not in str(error):
                raise
            time.sleep(0.05 * 2**attempt)


class Tracking:
    """The store of one project. It may be shared between threads; every method may return None when the store
    is out of reach.

    The store is MLFLOW_TRACKING_URI, or else `sqlite:///<root>/.whetstone/mlflow.db`. `say` receives the one
    warning (default: stderr). Methods take a run id that may be None (its run could not be started), and do
    nothing then.
    """

    def __init__(
        self,
        root: str | Path,
        uri: str | None = None,
        say: Callable[[str], None] | None = None,
        patience_s: float = 5.0,
    ):
        self.root = Path(root).resolve()
        self._say = say or (lambda text: print(text, file=sys.stderr, flush=True))
        self.store = Store(self.root, uri or os.environ.get("MLFLOW_TRACKING_URI"), patience_s, self._say)
        self._lock = threading.RLock()
        self._paused_until = 0.0
        self._warned = False
        self._samples: dict[str, int] = {}

    @property
    def uri(self) -> str:
        return self.store.uri

    def _warn(self, error: BaseException) -> None:
        if self._warned:
            return
        self._warned = True
        self._say(
            f"MLflow store {self.store.shown}: {_first_line(error)}; the run goes on without tracking; fix: "
            f"{self.store.remedy(error)}"
        )

    # -- runs ------------------------------------------------------------------------------------------------

    @tracked
    def start_flow(
        self,
        plan: Any = None,
        tags: Mapping[str, Any] | None = None,
        name: str = "",
        params: Mapping[str, Any] | None = None,
    ) -> str | None:
        """Start the run of a whole flow. `plan` (whatever JSON holds) becomes its artifact plan.json; `tags`
        hold git.commit, git.dirty; `params` {section: value} are flattened to dotted names.
        """
        run = self._create_run(
            name or time.strftime("flow %Y-%m-%d %H:%M:%S"), {"kind": "flow", **(tags or {})}
        )
        self._log_params(run, params or {})
        if plan is not None:
            self._artifacts(run, {"plan.json": json.dumps(plan, indent=1, default=str)})
        return run

    @tracked
    def log_artifacts(self, run: str | None, artifacts: Mapping[str, str | Path]) -> None:
        """Write artifacts by their names: a text, a file's bytes, or all that is in a folder."""
        if run:
            self._artifacts(run, artifacts)

    def _artifacts(self, run: str, artifacts: Mapping[str, str | Path]) -> None:
        """Where one cannot be written (a server's folder on another machine), the run itself still counts."""
        client = self.store.client()
        for name, content in artifacts.items():
            try:
                if isinstance(content, Path) and content.is_dir():
                    client.log_artifacts(run, str(content), name)
                elif isinstance(content, Path):
                    client.log_artifact(run, str(content), posixpath.dirname(name) or None)
                else:
                    client.log_text(run, content, name)
            except self.store.failures() as error:
                self._say(
                    f"MLflow store {self.store.shown}: the artifact {name} could not be written: "
                    f"{_first_line(error)}"
                )
                return  # the next one would wait as long

    @tracked
    def log_metrics(self, run: str | None, metrics: Mapping[str, float]) -> None:
        """Log figures without a step."""
        if run:
            for batch in in_batches(row_metrics([metrics]), 900):
                self.store.client().log_batch(run, metrics=batch)

    @tracked
    def start_stage(
        self,
        parent: str | None,
        stage: str,
        why: Sequence[str] | str = (),
        params: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
        key: str = "",
        tags: Mapping[str, Any] | None = None,
    ) -> str | None:
        """Start a stage's run: `params` {section: value} flattened to dotted names, `inputs` {path: DVC
        digest} as datasets.
        """
        reason = why if isinstance(why, str) else "; ".join(why)
        link = {"mlflow.parentRunId": parent} if parent else {}
        run = self._create_run(
            stage, {"kind": "stage", "stage": stage, "stage.key": key, "why": reason, **link, **(tags or {})}
        )
        self._log_params(run, params or {})
        client = self.store.client()
        if inputs:
            _retry_races(lambda: client.log_inputs(run, datasets=input_datasets(inputs)))
        return run

    def _log_params(self, run: str, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        logged = [Param(name, str(value)[:6000]) for name, value in flat(params).items()]
        for batch in in_batches(logged, 100):
            self.store.client().log_batch(run, params=batch)

    def _create_run(self, name: str, tags: Mapping[str, Any]) -> str:
        texts = {key: str(value)[:5000] for key, value in public({**tags, **Owner.this().tags()}).items()}
        if self.store.shared:
            texts[tracking_names.TAG] = tracking_names.workspace(self.root)
        try:
            return (
                self.store.client().create_run(self.store.experiment(), run_name=name, tags=texts).info.run_id
            )
        except self.store.failures() as error:
            if not any(
                phrase in str(error)
                for phrase in (
                    "must be in the 'active' state",
                    "No Experiment with id",
                    "Could not find experiment",
                )
            ):
                raise
            self.store.forget_experiments()  # it was deleted while we ran
            return (
                self.store.client().create_run(self.store.experiment(), run_name=name, tags=texts).info.run_id
            )

    @tracked
    def log_rows(self, run: str | None, rows: Sequence[Mapping[str, Any]]) -> None:
        """Log metrics by step from rows {"step": int, name: number}; values that are not numbers are left
        out.
        """
        if run:
            for batch in in_batches(row_metrics(rows), 1000):
                self.store.client().log_batch(run, metrics=batch)

    def follow(self, run: str | None, curve: Path, offset: int = 0) -> int:
        """Log the complete lines that were appended to `curve` (JSONL) since `offset` bytes. Returns the new
        offset.
        """
        rows, offset = appended(curve, offset)
        if rows:
            self.log_rows(run, rows)
        return offset

    @tracked
    def log_system(self, run: str | None, sample: Mapping[str, float]) -> None:
        """Log one sample of `tasks.process_metrics.ProcessTree`, with names under `system/`, which MLflow's
        page shows separately.
        """
        if run and sample:
            step = self._samples[run] = self._samples.get(run, -1) + 1
            self.store.client().log_batch(
                run, metrics=row_metrics([{"step": step, **{f"system/{k}": v for k, v in sample.items()}}])
            )

    @tracked
    def end(
        self,
        run: str | None,
        status: str = "FINISHED",
        tags: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> None:
        """End a run as FINISHED, FAILED or KILLED. `metrics` may be nested (a stage's metrics file); they get
        step 0.

        A name that also has a curve in the run is logged as `final/<name>`: under its own name it would be a
        false point of the curve.
        """
        if not run:
            return
        from mlflow.entities import RunTag

        client = self.store.client()
        texts = [RunTag(key, str(value)[:5000]) for key, value in public(tags or {}).items()]
        curves = client.get_run(run).data.metrics if metrics else {}
        last = {
            f"final/{name}" if metric_name(name) in curves else name: value
            for name, value in flat(metrics or {}).items()
        }
        for batch in in_batches(row_metrics([{"step": 0, **last}]), 900):
            client.log_batch(run, metrics=batch)
        client.log_batch(run, tags=texts)
        client.set_terminated(run, status)
        self._samples.pop(run, None)

    @tracked
    def heal(self) -> list[str] | None:
        """Mark RUNNING runs of this host whose owner process has ended as KILLED. Returns their ids. Without
        any, MLflow is not loaded.
        """
        if not self.store.may_have_running():
            return []
        client = self.store.client()
        healed = []
        for run in client.search_runs(
            [self.store.experiment()], "attributes.status = 'RUNNING'", max_results=1000
        ):
            owner = Owner.of(run.data.tags)
            if owner and owner.is_gone():
                client.set_tag(run.info.run_id, "healed", f"owner process {owner.pid} is gone")
                client.set_terminated(run.info.run_id, "KILLED")
                healed.append(run.info.run_id)
        return healed

    # -- registry --------------------------------------------------------------------------------------------

    @tracked
    def register(
        self,
        stage: str,
        path: str,
        digest: str,
        run: str | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> str | None:
        """Returns the version of the model at `path` (models/NAME/model) with content `digest`. It is created
        if missing, and gets the alias `current`.

        A version holds no bytes: its source is dvc://<digest>/<path>, so nothing is copied and no later run
        changes what it means.
        """
        from mlflow.exceptions import MlflowException

        client, short_name = self.store.client(), model_name(path)
        name = tracking_names.registered(self.root, short_name, self.store.shared)
        existing = [version for version in self._versions(short_name) if version["digest"] == digest]
        if existing:
            version = existing[-1]["version"]
        else:
            try:
                client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            texts = {key: str(value)[:5000] for key, value in public(tags or {}).items() if value is not None}
            texts |= {"dvc.md5": digest, "dvc.path": path, "stage": stage}
            if self.store.shared:
                texts[tracking_names.TAG] = tracking_names.workspace(self.root)
            version = client.create_model_version(
                name, source=f"dvc://{digest}/{path}", run_id=run, tags=texts
            ).version
        client.set_registered_model_alias(name, CURRENT, str(version))
        return str(version)

    @tracked
    def versions(self, name: str) -> list[dict[str, Any]] | None:
        """Returns the versions of a registered model, oldest first: {"name", "version", "digest", "path",
        "source", "run_id", "tags", "aliases"}.
        """
        return self._versions(name)

    @tracked
    def run_facts(self, run: str) -> dict[str, dict[str, str]] | None:
        """Returns the logged facts of a stage's run: {"tags", "params", "inputs"}, inputs as {path: digest};
        empty when the run was deleted.
        """
        from mlflow.exceptions import MlflowException

        try:
            logged = self.store.client().get_run(run)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return {}
        datasets = [row.dataset for row in logged.inputs.dataset_inputs] if logged.inputs else []
        inputs = {dataset.name: dataset.digest for dataset in datasets}
        return {"tags": dict(logged.data.tags), "params": dict(logged.data.params), "inputs": inputs}

    def _versions(self, name: str) -> list[dict[str, Any]]:
        client, registered = (
            self.store.client(),
            tracking_names.registered(self.root, name, self.store.shared),
        )
        rows = []
        for model_version in client.search_model_versions(f"name='{registered}'", max_results=10000):
            tags, source = dict(model_version.tags), str(model_version.source)
            if self.store.shared and tags.get(tracking_names.TAG) != tracking_names.workspace(self.root):
                continue  # somebody else's, whatever it is called
            rows.append(
                {
                    "name": name,
                    "version": str(model_version.version),
                    "digest": tags.get("dvc.md5", ""),
                    "path": tags.get("dvc.path", ""),
                    "source": source,
                    "run_id": model_version.run_id,
                    "tags": tags,
                    "aliases": [],
                }
            )
        if rows:
            by_version = {row["version"]: row for row in rows}
            for alias, version in client.get_registered_model(registered).aliases.items():
                if str(version) in by_version:
                    by_version[str(version)]["aliases"].append(alias)
        return sorted(rows, key=lambda row: int(row["version"]))


def _first_line(error: BaseException) -> str:
    # SQLAlchemy's aside
    lines = [
        line for line in str(error).strip().splitlines() if not line.startswith("(raised as a result of")
    ]
    text = next(iter(lines), type(error).__name__)
    return str(public({"error": text})["error"])
