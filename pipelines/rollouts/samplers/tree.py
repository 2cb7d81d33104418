"""The tree sampler: segments of a fixed length that are continued several times each, level by level (spo.md
2.2).

A segment that ends by itself is a leaf on any level. A leaf of the last level that does not
(`finish.complete` is false) is a response cut off; what that is worth is the verdict's business (0 by
default, spo.md U3). Every node's randomness is that of its path from the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.models.policy import context_size
from pipelines.rollouts.counter import child_key
from pipelines.rollouts.engine import RolloutEngine
from pipelines.rollouts.forest import Forest, Prompt
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.rollouts.samplers.options import TreeParams

FOREST = "tree"  # what it grows: segments that several others continue


def grow(
    engine: RolloutEngine, prompts: Sequence[Prompt], settings: TreeParams, sampling: SamplingParams
) -> Forest:
    """Returns a tree below each prompt. A whole response has at most `sampling.max_new_tokens` tokens, as
    with the other samplers.

    Raises ValueError when the inner levels leave nothing to the last one, in `max_new_tokens` or in the
    model's context.
    """
    _refuse(engine, prompts, settings, sampling)
    forest = Forest(prompts)
    frontier = [(tree, -1, list(prompt.ids), prompt.key) for tree, prompt in enumerate(prompts)]
    for level, width in enumerate(settings.branching):
        if not frontier:
            break
        last = level == len(settings.branching) - 1
        cap = sampling.max_new_tokens - settings.reserved if last else settings.segment
        keys = [[child_key(key, index) for index in range(width)] for *_, key in frontier]
        prefixes = [ids for _, _, ids, _ in frontier]
        families = engine.generate(prefixes, keys, sampling, [cap] * len(prefixes), keep=not last)
        grown = []
        for (tree, parent, ids, _), counters, completions in zip(frontier, keys, families, strict=True):
            for key, completion in zip(counters, completions, strict=True):
                node = forest.add(tree, parent, completion)
                if not completion.finish.complete:
                    grown.append((tree, node, ids + completion.ids, key))
        frontier = grown
    return forest


def _refuse(
    engine: RolloutEngine, prompts: Sequence[Prompt], settings: TreeParams, sampling: SamplingParams
) -> None:
    inner = (
        f"{len(settings.branching) - 1} inner levels of {settings.segment} tokens each (sampler.branching, "
        f"sampler.segment)"
    )
    if sampling.max_new_tokens <= settings.reserved:
        raise ValueError(
            f"{inner} leave nothing of sampling.max_new_tokens {sampling.max_new_tokens} to the last level: "
            f"it must be above {settings.reserved}"
        )
    context = context_size(engine.model)
    for prompt in prompts:
        if len(prompt.ids) + settings.reserved >= context:
            raise ValueError(
                f"prompt {prompt.id} has {len(prompt.ids)} tokens: with {inner} nothing of the model's "
                f"context of {context} is left; "
                f"drop prompts of {context - settings.reserved} tokens or more, or make the segments shorter"
            )
