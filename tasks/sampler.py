"""The rollout engine that the execution settings choose, for stages that sample."""

from __future__ import annotations

from typing import Any

from pipelines.models.placement import Placement
from pipelines.models.tokenizer import Tokens
from pipelines.rollouts.engines.in_flight import BATCH
from pipelines.rollouts.engines.local import LocalEngine
from tasks.execution_params import ExecutionParams


def make_sampler(model: Any, tokens: Tokens, placement: Placement, execution: ExecutionParams) -> Any:
    """Returns an engine that samples from `model` as it is at each call. Raises ImportError, with advice,
    where vLLM is configured and not installed.
    """
    if execution.sampler == "vllm":
        from pipelines.rollouts.engines.vllm import VllmEngine

        return VllmEngine(model, tokens, placement, execution.sequences or BATCH)
    return LocalEngine(model, tokens, placement, execution.sequences, processes=execution.processes)
