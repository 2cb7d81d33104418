"""Scores and log-probs of answers, packed into forward passes of a token budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from pipelines.models.packing import Segment, can_share, cut, score_rows

# rows of prompt and answer -> (R,) float scores; of a cost model, higher is worse
Scorer = Callable[[Sequence[Segment]], Tensor]


class Preferred(Protocol):
    """What is read of a preference pair: token ids, source, and `group`, which pairs of one prompt share."""

    @property
    def id(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def prompt_ids(self) -> list[int]: ...
    @property
    def chosen_ids(self) -> list[int]: ...
    @property
    def rejected_ids(self) -> list[int]: ...


def answer_row(prompt_ids: Sequence[int], answer_ids: Sequence[int]) -> Segment:
    """Returns an answer after its prompt as a row for packing."""
    return Segment((tuple(prompt_ids),), tuple(answer_ids))


def pair_rows(pairs: Sequence[Preferred]) -> list[Segment]:
    """Returns rows chosen, rejected, chosen, rejected, …: (2 pairs,)."""
    return [
        answer_row(pair.prompt_ids, ids) for pair in pairs for ids in (pair.chosen_ids, pair.rejected_ids)
    ]


@torch.no_grad()
def scores_of(score: Scorer, rows: Sequence[Segment], budget: int) -> np.ndarray:
    """Returns (R,) float64 scores in the order of the rows; `budget`: tokens per forward pass."""
    scores = np.zeros(len(rows))
    for group in cut(rows, budget) if rows else []:
        scores[group] = score([rows[place] for place in group]).double().cpu().numpy()
    return scores


@torch.no_grad()
def summed_logprobs(model: Any, rows: Sequence[Segment], budget: int) -> np.ndarray:
    """Returns (R,) float64: the summed log-probability of each row's tokens after its context, in nats, at
    temperature 1 over the whole vocabulary.
    """
    sums = np.zeros(len(rows))
    for group in cut(rows, budget, can_share(model)) if rows else []:
        scores = score_rows(model, [rows[place] for place in group], entropy=False).logprobs.double().cpu()
        parts = scores.split([len(rows[place].ids) for place in group])
        sums[group] = torch.stack([part.sum() for part in parts]).numpy()
    return sums
