"""The peak memory of a policy run, predicted before anything is allocated; a run that cannot fit is
refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from pipelines.corpora.records.record import Record
from pipelines.models import adapters, critic
from pipelines.models.free_memory import SLACK, available
from pipelines.models.policy import context_size
from pipelines.rewards.judge import Judge
from pipelines.rollouts.engines.fused import copied_weight_bytes, fusible, refresh_bytes
from pipelines.rollouts.engines.in_flight import BATCH, Request, RolloutMemory, token_bytes
from pipelines.training.memory import FLOAT32_BYTES, MemoryPlan, ModelShape, check_fits, meta_copy, predict
from pipelines.training.policy_params import PolicyParams
from pipelines.training.policy_parts import ProblemSets
from tasks.policy_parts import RunContext


def check_memory(run: RunContext, model: Any, judge: Judge, problems: ProblemSets) -> None:
    """Log the predicted peak. Raises MemoryError, with a table, where the machine has less memory."""
    device = run.placement.device
    free, sharing = available(device), 1 if device.type == "cuda" else run.ranks.size
    requests = sampling_requests(model, run.settings, problems, run.ranks.size)
    predicted = peak_bytes(run, model, judge, requests, free // sharing)
    check_fits(predicted, free, sharing)
    run.stage.say(f"predicted peak memory: {sum(predicted.values()) / 1e9:.2f} GB")


def sampling_requests(model: Any, settings: PolicyParams, problems: ProblemSets, ranks: int) -> list[Request]:
    """Returns what one rank of the run requests from its sampler at once: the prompts of an iteration or a
    refill, and the validation problems.
    """
    context, new_tokens = context_size(model), min(settings.sampling.max_new_tokens, context_size(model))
    prompts = max(settings.prompts, settings.refill.prompts if settings.refill else 0)

    def request(records: Sequence[Record], count: int, sequences: int) -> Request:
        lengths = [length for record in records if (length := len(record.prompt_ids)) < context]
        count = -(-min(count, len(records)) // ranks)
        return Request(count * sequences, count, max(lengths, default=1), new_tokens)

    requests = [request(problems.training, prompts, settings.most_sequences)]
    if settings.validation_every:
        requests.append(request(problems.validation, settings.validation_size, 1))
    return requests


def peak_bytes(
    run: RunContext, model: Any, judge: Judge, requests: Sequence[Request], free: int
) -> dict[str, int]:
    """Returns the bytes at the peak, by item.

    Where execution.sample_batch is auto, the caches are the largest that fit into `free` bytes beside the
    rest, as the engine will choose.
    """
    trained, values = _models_on_meta(run.settings, model, judge)
    shape = ModelShape.of(trained)
    with adapters.switched_off(trained):  # as they are while the run samples
        fused = fusible(trained)
        plan = _plan(run, trained, values, shape, fused)
    fixed = _judge_bytes(judge)
    if run.settings.keep == "best" and run.placement.device.type == "cpu":
        weights = sum(weight.numel() for weight in model.parameters())
        fixed["weights of the best validation"] = FLOAT32_BYTES * weights
    cached_token = token_bytes(model.config, run.placement.dtype)
    rollouts = RolloutMemory(run.placement.device, torch.get_num_threads(), fused, cached_token)
    batch = run.execution.sequences or BATCH
    while True:
        cached = max(rollouts.cache_bytes(request, batch) for request in requests) // cached_token
        in_flight = max(min(request.rows, batch) for request in requests)
        total = predict(shape, replace(plan, cached=cached, sequences=in_flight)) | fixed
        if run.execution.sequences or batch == 1 or sum(total.values()) <= free * (1 - SLACK):
            return total
        batch //= 2


def _models_on_meta(settings: PolicyParams, model: Any, judge: Judge) -> tuple[Any, Any | None]:
    """Returns the policy as it will be trained, and the critic's backbone where there is one, on the meta
    device.
    """
    trained, values = meta_copy(model), None
    with torch.device("meta"):
        if settings.critic is not None:
            start = model if settings.critic.init == "policy" else judge.model
            values = critic.make(meta_copy(start)).backbone
        if settings.adapter:
            adapters.add(trained, settings.adapter, 0)
    return trained, values


def _plan(run: RunContext, trained: Any, values: Any | None, shape: ModelShape, fused: bool) -> MemoryPlan:
    """Returns the memory plan of training and of the sampler's own weights; the sampler's caches are added
    for each batch.
    """
    settings, execution, placement = run.settings, run.execution, run.placement
    copies, refreshed = 0, 0
    if execution.sampler == "vllm":
        copies = placement.dtype.itemsize * shape.parameters
    elif fused:
        copies = copied_weight_bytes(trained, placement.dtype, placement.device)
        refreshed = refresh_bytes(trained, placement.dtype, placement.device)
    return MemoryPlan(
        tokens=execution.micro_batch_tokens,
        half=placement.dtype == torch.bfloat16,
        heap=placement.device.type == "cpu",
        checkpointing=settings.optimiser.gradient_checkpointing,
        optimiser=settings.optimiser.kind,
        reference=run.has_reference and not settings.adapter,
        critic=None if values is None else ModelShape.of(values),
        critic_optimiser=settings.critic.optimiser.kind if settings.critic else "adamw",
        copies=copies,
        refreshed=refreshed,
        zero_stage=execution.zero_stage,
        ranks=execution.processes,
    )


def _judge_bytes(judge: Judge) -> dict[str, int]:
    """Returns the bytes of the judge's own weights, which every rank holds in full."""
    if judge.model is None:
        return {}
    return {
        "judge: weights": sum(weight.numel() * weight.element_size() for weight in judge.model.parameters())
    }
