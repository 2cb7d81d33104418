"""The reverse of the mask of forking tokens: exactly the tokens that it drops (entropy.md 2.4.E3)."""

from __future__ import annotations

from torch import Tensor

from pipelines.objectives.masks.options import BottomEntropyParams
from pipelines.objectives.masks.top_entropy import top_share
from pipelines.objectives.portion import complement


def keep(logprobs: Tensor, entropy: Tensor, settings: BottomEntropyParams) -> Tensor:
    """logprobs (N,), entropy (N,) in nats of a block's tokens -> (N,) bool; with share .8 the complement of
    top_entropy with .2.
    """
    return ~top_share(entropy, complement(settings.share))
