"""The flat sampler: n independent responses to each prompt, a tree of depth one."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.rollouts.counter import child_key
from pipelines.rollouts.engine import RolloutEngine
from pipelines.rollouts.forest import Forest, Prompt
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.rollouts.samplers.options import FlatParams

FOREST = "flat"  # what it grows: whole, independent responses


def grow(
    engine: RolloutEngine, prompts: Sequence[Prompt], settings: FlatParams, sampling: SamplingParams
) -> Forest:
    """`settings.samples` responses per prompt; the i-th one's randomness is the i-th child of the prompt's
    key.
    """
    forest = Forest(prompts)
    keys = [[child_key(prompt.key, index) for index in range(settings.samples)] for prompt in prompts]
    for tree, completions in enumerate(engine.generate([prompt.ids for prompt in prompts], keys, sampling)):
        for completion in completions:
            forest.add(tree, -1, completion)
    return forest
