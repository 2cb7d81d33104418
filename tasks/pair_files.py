"""Reading a set's pairs for the stages that train on them: each side of the split, without pairs that exceed
the model's context.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from pipelines.corpora.records.pair_tokens import read_pairs
from pipelines.models.policy import context_size
from pipelines.models.tokenizer import Tokens
from pipelines.training.preference_data import PairData
from pipelines.training.reference_logprobs import load_reference
from tasks.stage import TOKENS, Stage

SIDES = ("train", "validation")  # what training looks at; held-out pairs are for the reports


def read_side(
    stage: Stage, data: str, side: str, model: Any, tokens: Tokens, max_tokens: int | None = None
) -> PairData | None:
    """Returns the pairs of data/<data>/pairs/<side>.jsonl, tokenised by `tokens`, that fit into `max_tokens`
    and the model's context; None where the file holds none.

    Raises ValueError where the training side is empty.
    """
    folder = stage.input(f"data/{data}/pairs")
    tokenised, where = read_pairs(folder, side, tokens, stage.cache(TOKENS)), f"{folder}/{side}.jsonl"
    if not tokenised.pairs:
        if side == "train":
            reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(tokenised.left_out.items()))
            raise ValueError(
                f"{where} holds no pair to learn from ({reasons or 'it is empty'}); its counts in "
                f"metrics/preferences say what else took them out"
            )
        return None
    limit = context_size(model)
    return PairData(tokenised.pairs, min(limit, max_tokens or limit), where, tokenised.left_out)


def with_reference(
    stage: Stage, data: str, side: str, model: Any, tokens: Tokens, max_tokens: int, reference: Path
) -> tuple[PairData, Tensor] | None:
    """Returns what `read_side` returns, with the reference's log-probs (N, 2) of its pairs, which the stage
    `reference` computed for every pair.
    """
    every_pair = read_side(stage, data, side, model, tokens)
    if every_pair is None:
        return None
    logprobs = load_reference(reference / f"{side}.safetensors", every_pair)
    fitting = PairData(
        every_pair.kept, min(max_tokens, context_size(model)), every_pair.where, every_pair.left_out
    )
    fitting_ids = {pair.id for pair in fitting.pairs}
    return fitting, logprobs[[index for index, pair in enumerate(every_pair.pairs) if pair.id in fitting_ids]]
