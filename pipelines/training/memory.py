"""Predict the peak memory of a training process from shapes, before anything is allocated, and refuse what cannot fit.

A sum of what is there at the peak: weights, gradients, moments, caches, what the backward pass needs. Measured with models of 1M and 5M
parameters on a CPU: 1.01 to 1.09 of the live memory, 0.87 to 1.19 of the resident memory, which holds more than what lives (`heap`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pipelines.models.logprobs import CHUNK

SLACK = 0.1  # of the available memory is left to fragmentation and to what nobody counts
WORD = 4  # bytes of a float32: weights, gradients and moments are always float32


@dataclass(frozen=True)
class Shape:
    """What the prediction needs of a model; `parameters` all, `trained` with a gradient, `matrices` of those inside the layers."""

    parameters: int
    trained: int
    matrices: int
    width: int
    inner: int
    layers: int
    query_width: int
    key_width: int
    vocabulary: int

    @classmethod
    def of(cls, model: Any) -> Shape:
        """Of a transformers causal model, which may live on the meta device and so hold nothing."""
        config = model.config.get_text_config(decoder=True)
        sizes = [(parameter.numel(), parameter.ndim, parameter.requires_grad) for parameter in model.parameters()]
        modules = (model.get_input_embeddings(), model.get_output_embeddings())
        ends = {id(module.weight): module.weight.numel() for module in modules if module and module.weight.requires_grad}
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        groups = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        trained = sum(size for size, _, wanted in sizes if wanted)
        matrices = sum(size for size, rank, wanted in sizes if wanted and rank > 1)
        return cls(
            sum(size for size, _, _ in sizes),
            trained,
            max(0, matrices - sum(ends.values())),
            config.hidden_size,
            getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
            config.num_hidden_layers,
            config.num_attention_heads * head,
            groups * head,
            config.vocab_size,
        )


@dataclass(frozen=True)
class Plan:
    """What the run does with the model.

    tokens: of a micro-batch; repeats: key slots for each of its tokens (a prompt of 1/3 of the tokens with 8 answers: 1 + 8/3).
    half: the forward runs in bfloat16. heap: on a CPU, where freed memory stays with the process.
    sequences, length: rows and positions of the sampler's cache, 0 without a sampler.
    """

    tokens: int
    repeats: float = 2.0
    half: bool = False
    heap: bool = True
    checkpointing: bool = False
    optimiser: str = "adamw"
    reference: bool = False
    critic: bool = False
    sequences: int = 0
    length: int = 0
    zero_stage: int = 0
    ranks: int = 1


def predict(shape: Shape, plan: Plan) -> dict[str, int]:
    """Bytes of this process by item; the items that live at the same time as the peak, so that their sum is the prediction."""
    share = [plan.ranks if plan.zero_stage >= stage else 1 for stage in (3, 2, 1)]
    moments = 2 * shape.trained - (shape.matrices if plan.optimiser == "muon" else 0)
    found = {
        "weights": WORD * shape.parameters // share[0],
        "gradients": WORD * shape.trained // share[1],
        "optimiser": WORD * moments // share[2],
    }
    if plan.reference:
        found["reference"] = WORD * shape.parameters
    if plan.critic:
        found["critic: weights, gradients, optimiser"] = sum(found[name] for name in ("weights", "gradients", "optimiser"))
    update = {"activations": activations(shape, plan), "logits": logits(shape, plan)}
    if plan.heap:  # about half of what one pass allocates, whether it is kept or recomputed
        update["heap: freed and not returned"] = activations(shape, replace(plan, checkpointing=False)) // 2
    item = 2 if plan.half else WORD
    cache = 2 * item * shape.layers * shape.key_width * plan.sequences * plan.length
    sampling = {"sampler: weights": item * shape.parameters, "sampler: cache": cache} if plan.sequences else {}
    return found | max(update, sampling, key=lambda items: sum(items.values()))


def activations(shape: Shape, plan: Plan) -> int:
    """Bytes kept for the backward pass of one micro-batch, and the working space of the layer that the pass is in.

    A layer of the plain families keeps, for each token: the residual, the normed and the scaled state twice (6 d); queries, results in
    slots and in place (3 h), keys and values (2 g for each slot); gate, its activation, up and their product (4 i).
    """
    norms, rest = 6 * shape.width, 3 * shape.query_width + 2 * plan.repeats * shape.key_width + 4 * shape.inner
    # Norms run in float32 either way; linear layers keep a bfloat16 copy of what enters them.
    layer = norms * WORD + 2 * shape.width * 2 + rest * 2 if plan.half else (norms + rest) * WORD
    kept = shape.layers * shape.width * WORD + layer if plan.checkpointing else shape.layers * layer
    working = 2 * (shape.inner + shape.width) * (2 if plan.half else WORD)
    return int(plan.tokens * (kept + working))


def logits(shape: Shape, plan: Plan) -> int:
    """Bytes of what is vocabulary-wide: logits, log-probs and their gradient, for one chunk of tokens at a time."""
    chunk = min(plan.tokens * shape.vocabulary, max(CHUNK, shape.vocabulary))
    return 3 * WORD * chunk


def available(device: torch.device) -> int:
    """Bytes that this process can still take: free memory of the GPU, or of the machine and its control group."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    import psutil

    free = psutil.virtual_memory().available
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.stat")
    if limit.exists() and used.exists() and limit.read_text().strip() != "max":
        held = dict(line.split() for line in used.read_text().splitlines())
        free = min(free, int(limit.read_text()) - int(held.get("anon", 0)))
    return max(0, free)


def check_fits(items: Mapping[str, int], free: int, processes: int = 1) -> None:
    """Raises MemoryError with the table when `processes` of this size do not fit into `free` bytes less SLACK."""
    total = sum(items.values())
    if total * processes <= free * (1 - SLACK):
        return
    each = f", for each of {processes} processes" if processes > 1 else ""
    raise MemoryError(
        f"the run would need {total * processes / 1e9:.2f} GB, {free / 1e9:.2f} GB are free and {SLACK:.0%} of it is kept back{each}:\n"
        + table(items)
        + "\nwhat needs less: fewer tokens in a micro-batch, gradient checkpointing, more ranks with a higher ZeRO stage, a smaller model"
    )


def table(items: Mapping[str, int]) -> str:
    """One line an item, in GB, with the total."""
    lines = [*items.items(), ("total", sum(items.values()))]
    wide = max(len(name) for name, _ in lines)
    return "\n".join(f"  {name:{wide}}  {size / 1e9:9.3f} GB" for name, size in lines)
