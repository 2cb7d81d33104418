"""Label probabilities after many prompts from one model: packed forward passes, in which the labels of a
prompt share its computation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pipelines.models.packing import Segment, can_share, cut, score_rows
from pipelines.models.placement import Placement
from pipelines.rewards.generative.labels import LabelTokens
from pipelines.rewards.generative.reading import LabelProbabilities


def read_labels(
    model: Any,
    prompts: Sequence[tuple[int, ...] | str],
    labels: LabelTokens,
    placement: Placement,
    budget: int,
) -> list[LabelProbabilities | str]:
    """Returns one LabelProbabilities per prompt, in order. `prompts`: token ids before the label, or a
    reason, which is returned as it is; `budget`: tokens per forward pass.

    The model is moved to the placement's device.
    """
    if model.device != placement.device:
        model.to(placement.device)
    rows = [Segment((ids,), (label,)) for ids in prompts if not isinstance(ids, str) for label in labels.ids]
    chances = [0.0] * len(rows)
    with torch.no_grad(), placement.autocast():
        for group in cut(rows, budget, can_share(model)):
            scored = score_rows(model, [rows[index] for index in group], 1.0, False).logprobs.exp()
            for index, chance in zip(group, scored.tolist(), strict=True):
                chances[index] = chance
    following = iter(chances)
    results: list[LabelProbabilities | str] = []
    for ids in prompts:
        if isinstance(ids, str):
            results.append(ids)
        else:
            results.append(
                LabelProbabilities(
                    *(sum(next(following) for _ in side) for side in (labels.positive, labels.negative))
                )
            )
    return results
