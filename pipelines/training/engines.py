"""The engine that the execution settings ask for: plain torch in one process, DeepSpeed in several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipelines.models.logprobs import score
from pipelines.models.placement import Placement
from pipelines.training.deepspeed_engine import DeepSpeedEngine, Offload
from pipelines.training.engine import Engine, TorchEngine
from pipelines.training.options import OptimiserParams
from pipelines.training.ranks import Ranks


def make_engine(
    model: Any,
    optimiser: OptimiserParams,
    placement: Placement,
    ranks: Ranks,
    zero_stage: int = 0,
    offload: Offload = "none",
    scorer: Callable[..., Any] = score,
) -> Engine:
    """Returns an engine that trains the parameters of `model` with requires_grad. Every rank must hold the
    same weights. The choice changes no result but by rounding. Raises ValueError where DeepSpeed cannot do
    what is asked.
    """
    if ranks.size == 1:
        return TorchEngine(model, optimiser, placement, scorer)
    return DeepSpeedEngine(model, optimiser, placement, ranks, zero_stage, offload, scorer)
