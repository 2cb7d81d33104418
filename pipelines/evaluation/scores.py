"""Scores and log-probs of whole answers, as many to a forward as a token budget allows."""

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
    """What is read of a preference: token ids, and which pairs share a prompt or a source."""

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
    """An answer after its prompt, for packing."""
    return Segment((tuple(prompt_ids),), tuple(answer_ids))


def pair_rows(pairs: Sequence[Preferred]) -> list[Segment]:
    """Chosen, rejected, chosen, rejected, ...: twice as many rows as pairs."""
    return [
        answer_row(pair.prompt_ids, ids) for pair in pairs for ids in (pair.chosen_ids, pair.rejected_ids)
    ]


@torch.no_grad()
def scores_of(score: Scorer, rows: Sequence[Segment], budget: int) -> np.ndarray:
    """(R,) float64 scores in the order of the rows; rows of one prompt go into one forward where `budget`
    tokens hold them.
    """
    scores = np.zeros(len(rows))
    for group in cut(rows, budget) if rows else []:
        scores[group] = score([rows[place] for place in group]).double().cpu().numpy()
    return scores


@torch.no_grad()
def summed_logprobs(model: Any, rows: Sequence[Segment], budget: int) -> np.ndarray:
    """(R,) float64: the log-probability of each row's own tokens after its context, summed (temperature 1,
    the whole vocabulary).
    """
    sums = np.zeros(len(rows))
    for group in cut(rows, budget, can_share(model)) if rows else []:
        scores = score_rows(model, [rows[place] for place in group], entropy=False).logprobs.double().cpu()
        parts = scores.split([len(rows[place].ids) for place in group])
        sums[group] = torch.stack([part.sum() for part in parts]).numpy()
    return sums
