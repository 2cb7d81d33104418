"""Predict the peak memory of a training process from shapes, before anything is allocated, and refuse what
cannot fit.

A sum of what is there at the peak: weights, gradients, moments, the sampler's weights and caches, what the
backward pass needs. Measured on a CPU with models of 20M to 86M parameters, float32 and bfloat16: 0.97 to
1.11 of the live memory (LoRA, checkpointing and a vocabulary of 60k among them), under ZeRO with two
processes 1.00 to 1.18; with `heap`, 0.95 and 0.98 of the resident memory. No GPU was measured.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from pipelines.models.free_memory import SLACK
from pipelines.models.logprobs import CHUNK
from pipelines.training.deepspeed_engine import BUCKET

# elements that ZeRO's third stage, as DeepSpeed sets it, leaves whole between forward and backward
GATHERED = 10**9
SAMPLER_CACHE = "sampler: cache"
FLOAT32_BYTES = 4  # bytes of a float32: weights, gradients and moments are always float32


@dataclass(frozen=True)
class ModelShape:
    """What the prediction needs of a model; `parameters` all, `trained` with a gradient, `matrices` of those
    inside the layers.

    products: all that matrix products take, the head's included; cast: of those, the trained; adapted: of
        those, under adapters.
    head: the head's, where it is trained; tied: it is the embedding too.
    """

    parameters: int
    trained: int
    matrices: int
    products: int
    cast: int
    adapted: int
    head: int
    tied: bool
    width: int
    inner: int
    layers: int
    query_width: int
    key_width: int
    vocabulary: int

    @classmethod
    def of(cls, model: Any) -> ModelShape:
        """Of a transformers causal model, which may live on the meta device and so hold nothing."""
        config = model.config.get_text_config(decoder=True)
        sizes = [
            (parameter.numel(), parameter.ndim, parameter.requires_grad) for parameter in model.parameters()
        ]
        table, out = model.get_input_embeddings(), model.get_output_embeddings()
        tied = bool(table and out and out.weight is table.weight)
        only_read = table.weight if table and not tied else None
        products = [weight for weight in model.parameters() if weight.ndim > 1 and weight is not only_read]
        ends = {
            id(module.weight): module.weight.numel()
            for module in (table, out)
            if module and module.weight.requires_grad
        }
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        groups = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        trained = sum(size for size, _, wanted in sizes if wanted)
        matrices = sum(size for size, rank, wanted in sizes if wanted and rank > 1)
        return cls(
            sum(size for size, _, _ in sizes),
            trained,
            max(0, matrices - sum(ends.values())),
            sum(weight.numel() for weight in products),
            sum(weight.numel() for weight in products if weight.requires_grad),
            sum(
                weight.numel()
                for name, weight in model.named_parameters()
                if name.endswith(".base_layer.weight")
            ),
            out.weight.numel() if out and out.weight.requires_grad else 0,
            tied,
            config.hidden_size,
            getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
            config.num_hidden_layers,
            config.num_attention_heads * head,
            groups * head,
            config.vocab_size,
        )


@dataclass(frozen=True)
class MemoryPlan:
    """What the run does with the model.

    tokens: of a micro-batch; repeats: key slots for each of its tokens (a prompt of 1/3 of the tokens with 8
        answers: 1 + 8/3).
    half: the forward runs in bfloat16. heap: on a CPU, where freed memory stays with the process.
    critic: the value model, trained whole by `critic_optimiser`. copies: bytes of the sampler's own weights.
    refreshed: bytes that bringing those up to date takes for a moment.
    cached: tokens in the sampler's caches at once (`rollouts.flight`), of `sequences` rows in flight; 0
    without a sampler. zero_stage counts with several ranks only.
    """

    tokens: int
    repeats: float = 2.0
    half: bool = False
    heap: bool = True
    checkpointing: bool = False
    optimiser: str = "adamw"
    reference: bool = False
    critic: ModelShape | None = None
    critic_optimiser: str = "adamw"
    copies: int = 0
    refreshed: int = 0
    cached: int = 0
    sequences: int = 0
    zero_stage: int = 0
    ranks: int = 1

    @property
    def divided(self) -> int:
        """The ZeRO stage that is in force."""
        return self.zero_stage if self.ranks > 1 else 0


def meta_copy(model: Any) -> Any:
    """Returns a copy of a model on the meta device, where weights take no memory."""
    empty = {
        id(weight): nn.Parameter(weight.detach().to("meta"), weight.requires_grad)
        for weight in model.parameters()
    }
    return copy.deepcopy(model, {**empty, **{id(buffer): buffer.to("meta") for buffer in model.buffers()}})


def predict(shape: ModelShape, plan: MemoryPlan) -> dict[str, int]:
    """Returns the bytes of this process by item, for the items that exist at the time of the peak, so that
    their sum is the prediction.
    """
    items = training_state_bytes(shape, plan)
    if plan.reference:
        items["reference"] = FLOAT32_BYTES * shape.parameters
    if plan.critic:
        items["critic: weights, gradients, optimiser"] = sum(
            training_state_bytes(plan.critic, replace(plan, optimiser=plan.critic_optimiser)).values()
        )
    if plan.copies:  # kept through the update: bringing them up to date costs less than making them
        items["sampler: weights"] = plan.copies
    update = {"activations": activation_bytes(shape, plan), "logits": logit_bytes(shape, plan)}
    # autocast's bfloat16 weights, which the backward pass needs; a frozen one is not cached, so recomputing
    # frees it
    if plan.half:
        update["weights as products take them"] = 2 * (shape.cast if plan.checkpointing else shape.products)
    if plan.divided == 3:
        update["ZeRO: weights gathered for a pass"] = FLOAT32_BYTES * (
            min(shape.parameters, GATHERED) + min(shape.parameters, BUCKET)
        )
    if plan.heap:  # about half of what one pass allocates, whether it is kept or recomputed
        update["heap: freed and not returned"] = (
            activation_bytes(shape, replace(plan, checkpointing=False)) // 2
        )
    ending = (
        {"gradients of the embedding: as head, as table, their sum": 3 * FLOAT32_BYTES * shape.head}
        if shape.tied
        else {}
    )
    return items | max(update, ending, sampling_bytes(shape, plan), key=lambda phase: sum(phase.values()))


def training_state_bytes(shape: ModelShape, plan: MemoryPlan) -> dict[str, int]:
    """Returns the bytes of a model's weights and of its training state, in any phase."""
    stage = plan.divided
    weights, gradients, optimiser = (plan.ranks if stage >= least else 1 for least in (3, 2, 1))
    moments = 2 * shape.trained - (shape.matrices if plan.optimiser == "muon" else 0)
    items = {
        "weights": FLOAT32_BYTES * shape.parameters // weights,
        "gradients": FLOAT32_BYTES * shape.trained // gradients,
        "optimiser": FLOAT32_BYTES * moments // optimiser,
    }
    # a copy of the weights to step on, in stage 3 of their gradients too; buckets that gradients travel in
    if stage:
        items["ZeRO: copies to step on"] = (1 + (stage == 3)) * FLOAT32_BYTES * shape.trained // plan.ranks
        # From stage 2 on the last pass's bucket may live until the collector comes.
        items["ZeRO: buckets"] = (1 + (stage > 1)) * FLOAT32_BYTES * min(shape.parameters, BUCKET)
    return items


def sampling_bytes(shape: ModelShape, plan: MemoryPlan) -> dict[str, int]:
    """Returns the bytes that only sampling needs; empty without a sampler."""
    if not plan.cached:
        return {}
    items = {
        SAMPLER_CACHE: 2 * (2 if plan.half else FLOAT32_BYTES) * shape.layers * shape.key_width * plan.cached
    }
    items["sampler: logits"] = FLOAT32_BYTES * plan.sequences * shape.vocabulary
    if plan.divided == 3:
        items["sampler: whole weights beside the divided ones"] = FLOAT32_BYTES * shape.parameters
    if shape.adapted:
        items["sampler: adapted weights as they were"] = FLOAT32_BYTES * shape.adapted
    # what is added to one weight, before and after its scale
    merging = 2 * FLOAT32_BYTES * shape.inner * shape.width if shape.adapted else 0
    if moment := max(merging, plan.refreshed):
        items["sampler: what bringing its weights up to date takes for a moment"] = moment
    if plan.half and not plan.copies:  # the model's own forward, under autocast
        items["sampler: weights as products take them"] = 2 * shape.cast
    return items


def activation_bytes(shape: ModelShape, plan: MemoryPlan) -> int:
    """Returns the bytes that are kept for the backward pass of one micro-batch, and the working space of the
    current layer.

    A layer of the plain families keeps, for each token: the residual, the normed and the scaled state twice
    (6 d); queries, results in slots and in place (3 h), keys and values (2 g for each slot); gate, its
    activation, up and their product (4 i).
    """
    norms, rest = (
        6 * shape.width,
        3 * shape.query_width + 2 * plan.repeats * shape.key_width + 4 * shape.inner,
    )
    # Norms run in float32 either way; linear layers keep a bfloat16 copy of what enters them.
    layer = (
        norms * FLOAT32_BYTES + 2 * shape.width * 2 + rest * 2
        if plan.half
        else (norms + rest) * FLOAT32_BYTES
    )
    kept = shape.layers * shape.width * FLOAT32_BYTES + layer if plan.checkpointing else shape.layers * layer
    working = 2 * (shape.inner + shape.width) * (2 if plan.half else FLOAT32_BYTES)
    return int(plan.tokens * (kept + working))


def logit_bytes(shape: ModelShape, plan: MemoryPlan) -> int:
    """Returns the bytes of vocabulary-wide tensors for one chunk of tokens: logits, log-probs and their
    gradient, or these and the head's.
    """
    chunk = min(plan.tokens * shape.vocabulary, max(CHUNK, shape.vocabulary))
    return max(
        3 * FLOAT32_BYTES * chunk, FLOAT32_BYTES * chunk + (2 if plan.half else FLOAT32_BYTES) * shape.head
    )


def check_fits(items: Mapping[str, int], free: int, processes: int = 1) -> None:
    """Raises MemoryError with the table when `processes` of this size do not fit into `free` bytes less
    SLACK.
    """
    total, room = sum(items.values()), free * (1 - SLACK)
    if total * processes <= room:
        return
    largest = max(items, key=lambda name: items[name])
    of_how_many = f" for {processes} processes" if processes > 1 else ""
    remedy = (
        "fewer tokens in a micro-batch (execution.micro_batch_tokens), gradient checkpointing, more ranks "
        "with a higher ZeRO stage, "
    )
    if largest == SAMPLER_CACHE:
        remedy = (
            "fewer sequences at once (execution.sample_batch: auto fits itself, or a smaller number), fewer "
            "or shorter responses, "
        )
    raise MemoryError(
        f"the run would need {total * processes / 1e9:.2f} GB{of_how_many}, and {room / 1e9:.2f} of "
        f"{free / 1e9:.2f} GB free may be used "
        f"({SLACK:.0%} is kept back); most of it is {largest}, {items[largest] * processes / 1e9:.2f} GB. "
        f"What needs less: {remedy}"
        f"a smaller model. By item{', of one process' if processes > 1 else ''}:\n{table(items)}"
    )


def table(items: Mapping[str, int]) -> str:
    """One line an item, in GB, with the total."""
    lines = [*items.items(), ("total", sum(items.values()))]
    wide = max(len(name) for name, _ in lines)
    return "\n".join(f"  {name:{wide}}  {size / 1e9:9.3f} GB" for name, size in lines)
