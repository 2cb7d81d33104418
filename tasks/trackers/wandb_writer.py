"""Runs of Weights & Biases: one for each stage that has a curve, in the group of the whole run's name.

Where they go, and as whom, is said by W&B's own variables (WANDB_MODE, WANDB_PROJECT, WANDB_ENTITY,
WANDB_API_KEY, …). Offline they lie in .whetstone/wandb until `wandb sync` sends them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import wandb

from tasks.trackers import Home, numbers

FOLDER = ".whetstone"  # wandb makes its own folder there


class _Curve:
    def __init__(self, run: Any):
        self._run = run

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            self._run.log(numbers(row), step=int(row.get("step", 0)))

    def end(self, ok: bool, metrics: Mapping[str, float]) -> None:
        self._run.summary.update({f"final/{name}": value for name, value in metrics.items()})
        self._run.finish(exit_code=0 if ok else 1)


class _Writer:
    def __init__(self, home: Home):
        self._home = home
        self._mode = _mode(home.offline)
        self._folder = os.environ.get("WANDB_DIR") or str(home.root / FOLDER)
        self.place = f"{self._folder}/wandb: `wandb sync` sends it" if self._mode == "offline" else self._mode

    def open(self, stage: str, params: Mapping[str, Any]) -> _Curve:
        home = self._home
        settings = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,  # the run's lineage has the commit; a patch of the tree may hold anything
            disable_code=True,
            disable_job_creation=True,
            x_disable_meta=True,  # the command line, paths and user of the runner
            x_disable_stats=True,  # of the runner, which is not what computes; MLflow has the stage's
        )
        run = wandb.init(
            mode=self._mode,  # type: ignore[arg-type]  # W&B checks it
            project=os.environ.get("WANDB_PROJECT") or home.root.name,
            group=home.run,
            job_type=stage.partition("@")[0],
            name=f"{home.run} {stage}",
            config=dict(params),
            dir=self._folder,
            reinit="create_new",  # stages run at the same time
            settings=settings,
        )
        return _Curve(run)

    def close(self) -> None:
        wandb.teardown()  # its server process, which would otherwise live as long as this one


def _mode(offline: bool) -> str:
    """Returns W&B's mode. Without a key it is offline: `wandb.init` would ask for one, and wait."""
    mode = os.environ.get("WANDB_MODE") or ("offline" if offline else "online")
    return "offline" if mode in ("online", "shared") and not wandb.api.api_key else mode


def open_writer(home: Home) -> _Writer:
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # nothing calls home unasked
    os.makedirs(os.environ.get("WANDB_DIR") or home.root / FOLDER, exist_ok=True)
    return _Writer(home)
