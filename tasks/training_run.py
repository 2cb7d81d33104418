"""What all stages that train on a file have in common: placement, memory check, engines, checkpoints, curve
and figures.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any

import torch

from pipelines.models import adapters
from pipelines.models.adapter_params import AdapterParams
from pipelines.models.free_memory import available
from pipelines.models.liger import use_liger
from pipelines.models.placement import Placement
from pipelines.training.checkpoints import Checkpoints, Saveable
from pipelines.training.engine import Engine
from pipelines.training.engines import make_engine
from pipelines.training.memory import MemoryPlan, ModelShape, check_fits, predict
from pipelines.training.options import OptimiserParams
from pipelines.training.ranks import Ranks
from pipelines.training.session import TrainingSession
from tasks.stage import Stage


class TrainingRun:
    """One training in a stage, in one process or several. `name`: the model's, which its folder, curve and
    figures have too.
    """

    def __init__(self, stage: Stage, name: str) -> None:
        self.stage, self.name = stage, name
        execution = stage.execution
        self.placement = Placement.resolve(execution.device, execution.dtype, execution.threads)
        self.ranks = Ranks.join(self.placement)

    def engines(
        self,
        models: list[Any],
        optimiser: OptimiserParams,
        adapter: AdapterParams | None = None,
        add: Any = adapters.add,
    ) -> list[Engine]:
        """Returns an engine for each model, after checking that all fit into memory; `add` adds the adapter
        to a model. Raises MemoryError.
        """
        stage, execution = self.stage, self.stage.execution
        if adapter:
            for index, model in enumerate(models):
                add(model, adapter, stage.seed + index)
        plan = MemoryPlan(
            tokens=execution.micro_batch_tokens,
            half=self.placement.dtype == torch.bfloat16,
            heap=self.placement.device.type == "cpu",
            checkpointing=optimiser.gradient_checkpointing,
            optimiser=optimiser.kind,
            zero_stage=execution.zero_stage,
            ranks=self.ranks.size,
        )
        needed = predict(ModelShape.of(models[0]), plan)
        needed = {item: size * len(models) for item, size in needed.items()}
        check_fits(
            needed,
            available(self.placement.device),
            1 if self.placement.device.type == "cuda" else self.ranks.size,
        )
        if execution.liger:
            for model in models:
                use_liger(model, self.placement)
        return [
            make_engine(model, optimiser, self.placement, self.ranks, execution.zero_stage, execution.offload)
            for model in models
        ]

    def session(self, state: Saveable, total: int) -> TrainingSession:
        """Returns a session that resumes from the newest checkpoint of the work directory."""
        stage, execution = self.stage, self.stage.execution
        division = {"zero_stage": execution.zero_stage}
        checkpoints = Checkpoints(
            stage.work / "checkpoints", execution.checkpoint_period_s, stage.say, self.ranks, division
        )
        return TrainingSession(state, checkpoints, stage, total, self.ranks)

    def write_figures(self, facts: Mapping[str, Any], means: tuple[str, ...] = ("loss",)) -> None:
        """Write curves/<name>.jsonl, and metrics/train/<name>.json with the facts, means over the last
        twentieth of the curve, and the last validation.
        """
        stage = self.stage
        shutil.copyfile(stage.curve_path, stage.out(f"curves/{self.name}.jsonl"))
        rows = [json.loads(line) for line in stage.curve_path.read_text("utf-8").splitlines()]
        tail = rows[-max(1, len(rows) // 20) :]
        metrics = dict(facts) | {name: sum(row[name] for row in tail) / len(tail) for name in means}
        metrics |= {name: value for name, value in rows[-1].items() if name.startswith("validation_")}
        stage.out(f"metrics/train/{self.name}.json").write_text(json.dumps(metrics, indent=1) + "\n", "utf-8")
