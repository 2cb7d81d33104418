"""Memory, disk and time of the real run, predicted from shapes and one measurement; each says what it is
based on.
"""

from __future__ import annotations

import copy
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from flows.configured_run import Finding, on_meta_device
from pipelines.models.free_memory import SLACK, available
from pipelines.models.placement import Placement
from pipelines.models.policy import context_size
from pipelines.rollouts.engines.in_flight import Request
from pipelines.training.memory import FLOAT32_BYTES, MemoryPlan, ModelShape, check_fits, predict
from pipelines.training.ranks import Ranks
from tasks.policy_memory import peak_bytes
from tasks.policy_parts import RunContext

MEASURED_S = 2.0  # beyond which no further pass is begun
ROWS_AT_ONCE = 512  # tokens of the pass that is timed: a small model is faster with more
WIDEST = 8192  # columns of a matrix product that is timed
SHARE = 0.2  # of the free memory, for a model to be timed
MOMENTS = 2  # of AdamW, beside the weights, in a checkpoint
PASSES = 3  # forward passes that forward and backward take together


@dataclass(frozen=True)
class SetSize:
    """Rows of a set's file and the mean of their tokens, prompt and response."""

    rows: int
    tokens: float


def findings(root: Path, params: Any, sizes: Mapping[tuple[str, str], SetSize]) -> Iterator[Finding]:
    """Yields what the run takes. `sizes`: by set and file, of the whole sets."""
    models: dict[str, Any] = {}
    for name, base in params.base.runs.items():
        try:
            models[name] = on_meta_device(root, base)
        except Exception as error:  # noqa: BLE001  whatever a foreign config raises: nothing is predicted then
            yield Finding(
                "prediction", True, f"none for {name}: {' '.join(str(error).split())[:150]}", needed=False
            )
    starts = _bases(params)
    placement = Placement.resolve(params.execution.device, params.execution.dtype, params.execution.threads)
    trained = [
        (family, name, run, models[starts[run.start]])
        for family in ("sft", "dpo", "rl")
        for name, run in getattr(params, family).runs.items()
        if starts.get(run.start) in models
    ]
    for family, name, run, model in trained:
        yield _memory(f"memory of {family}@{name}", family, run, model, params, placement)
    if trained:
        yield _disk(root, params, models, [model for *_, model in trained])
        yield _time(params, trained, sizes, placement)


def _bases(params: Any) -> dict[str, str]:
    """Returns the base model that each model descends from."""
    bases = {name: name for name in params.base.runs}
    for _ in range(20):  # chains are short, and a circle is told by the check
        for family in ("sft", "dpo", "rl"):
            for name, run in getattr(params, family).runs.items():
                if run.start in bases:
                    bases[name] = bases[run.start]
    return bases


def _memory(what: str, family: str, run: Any, model: Any, params: Any, placement: Placement) -> Finding:
    execution, free = params.execution, available(placement.device)
    sharing = 1 if placement.device.type == "cuda" else execution.processes
    if family == "rl":
        context = RunContext(SimpleNamespace(execution=execution), run, placement, Ranks.single())  # type: ignore[arg-type]
        rows = run.prompts * run.most_sequences
        requests = [Request(rows, run.prompts, 256, run.sampling.max_new_tokens)]
        items = peak_bytes(context, model, SimpleNamespace(model=None), requests, free // sharing)  # type: ignore[arg-type]
    else:
        plan = MemoryPlan(
            tokens=execution.micro_batch_tokens,
            half=placement.dtype.itemsize == 2,
            heap=placement.device.type == "cpu",
            checkpointing=run.optimiser.gradient_checkpointing,
            optimiser=run.optimiser.kind,
            zero_stage=execution.zero_stage,
            ranks=execution.processes,
        )
        items = predict(ModelShape.of(model), plan)
    said = (
        f"{sum(items.values()) / 1e9:.2f} GB at the peak of {free * (1 - SLACK) / 1e9:.2f} GB that may be "
        f"used ({placement.device.type}); based on shapes"
    )
    try:
        check_fits(items, free, sharing)
    except MemoryError as error:
        return Finding(what, False, said, str(error).splitlines()[0])
    return Finding(what, True, said)


def _disk(root: Path, params: Any, models: Mapping[str, Any], trained: list[Any]) -> Finding:
    """Models lie in the workspace and in DVC's cache; the newest checkpoint and the one before it beside."""
    sizes = [sum(weight.numel() for weight in model.parameters()) for model in [*models.values(), *trained]]
    largest = max(sizes)
    need = FLOAT32_BYTES * (2 * sum(sizes) + 2 * (1 + MOMENTS) * largest)
    free = shutil.disk_usage(root).free
    said = (
        f"{need / 1e9:.2f} GB for {len(sizes)} models, twice each, and two checkpoints; {free / 1e9:.1f} GB "
        "are free; based on shapes"
    )
    return Finding("disk", need < free, said, "make room, or train fewer runs: `dvc gc` drops old results")


def _time(
    params: Any,
    trained: list[tuple[str, str, Any, Any]],
    sizes: Mapping[tuple[str, str], SetSize],
    placement: Any,
) -> Finding:
    """From the tokens of each run and the speed of a forward pass, or of a product, on this machine."""
    flops, basis = flops_per_second(trained[0][3], placement)
    parts, total = [], 0.0
    for family, name, run, model in trained:
        products = ModelShape.of(model).products
        seconds = 2 * products * passes(family, run, sizes) / flops
        total += seconds
        parts.append(f"{family}@{name} {_words(seconds)}")
    return Finding(
        "time",
        True,
        f"about {_words(total)}: {', '.join(parts)}; {basis}, and tokens of the sets; responses at full "
        "length; evaluation, loading and a sampler that waits for memory come on top",
    )


def passes(family: str, run: Any, sizes: Mapping[tuple[str, str], SetSize]) -> float:
    """Returns the forward passes of one token that a run takes, those of backward counted as such."""
    if family == "rl":
        size = sizes.get((run.data, "rl"), SetSize(1, 256.0))
        rows = run.iterations * run.prompts * run.most_sequences
        sampled = rows * (size.tokens + run.sampling.max_new_tokens)
        return sampled * (1 + PASSES * run.epochs + (1 if run.needs_reference else 0))
    size = sizes.get((run.data, "train" if family == "dpo" else "sft"), SetSize(1, 512.0))
    rows = run.steps * run.batch_size if run.steps is not None else (run.epochs or 1) * size.rows
    return PASSES * rows * size.tokens


def flops_per_second(model: Any, placement: Placement) -> tuple[float, str]:
    """Returns operations per second in a forward pass of the model's own shape, and how it was measured: with
    weights that say nothing, or where these would take too much memory by one product of the model's shape.
    """
    import torch

    shape, device = ModelShape.of(model), placement.device
    if FLOAT32_BYTES * shape.parameters < SHARE * available(device):
        whole = copy.deepcopy(model).to_empty(device=device).to(placement.dtype)
        for tensor in (*whole.parameters(), *whole.buffers()):
            tensor.data.fill_(1)
        ids = torch.ones((1, min(ROWS_AT_ONCE, context_size(model) - 1)), dtype=torch.long, device=device)
        with torch.inference_mode():
            speed = _per_second(lambda: whole(ids).logits.sum().item())
        said = (
            f"measured for {MEASURED_S:.0f} s, beside what else runs: {speed * ids.numel():,.0f} tokens/s "
            "forward in a model of this shape"
        )
        return 2.0 * shape.products * ids.numel() * speed, f"{said} ({device.type})"
    width, inner = min(shape.width, WIDEST), min(shape.inner, WIDEST)
    sides = ((ROWS_AT_ONCE, width), (width, inner))
    left, right = (torch.ones(side, dtype=placement.dtype, device=device) for side in sides)
    speed = _per_second(lambda: (left @ right).sum().item())
    flops = 2.0 * ROWS_AT_ONCE * width * inner * speed
    return flops, (
        f"the model is too large to try beside what runs: scaled by its operations from measured "
        f"{flops / 1e9:,.0f} GFLOP/s of a product of its shape ({device.type})"
    )


def _per_second(call: Callable[[], Any]) -> float:
    """Returns calls per second, after one that does not count; `call` waits for a GPU itself."""
    call()
    began, rounds = time.monotonic(), 0
    while rounds == 0 or time.monotonic() - began < MEASURED_S:
        call()
        rounds += 1
    return rounds / (time.monotonic() - began)


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
