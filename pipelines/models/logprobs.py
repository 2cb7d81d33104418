"""Log-probs and entropies of given tokens, at response positions only: the vocabulary-wide head never runs on the prompt."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

CHUNK = 8192  # rows of logits that exist at once; one row of a 150k vocabulary takes 0.6 MB in float32
PLAIN_HEADS = frozenset({"llama", "qwen2", "qwen3", "mistral"})  # logits are one linear map of the last hidden state, nothing more


class TokenScores(NamedTuple):
    """logprobs (N,) of the chosen tokens with gradient, entropy (N,) in nats without; N tokens, row-major over the batch."""

    logprobs: Tensor
    entropy: Tensor


def of_logits(logits: Tensor, chosen: Tensor, temperature: float) -> TokenScores:
    """logits (N, V), chosen ids (N,) -> their log-probs under softmax(logits / temperature), and the entropy in nats."""
    logits = logits.float() if temperature == 1.0 else logits.float() / temperature
    every = torch.log_softmax(logits, -1)
    with torch.no_grad():
        entropy = -(every.exp() * every).sum(-1)
    return TokenScores(every.gather(-1, chosen[:, None]).squeeze(1), entropy)


def score(model: Any, input_ids: Tensor, response: Tensor, temperature: float = 1.0) -> TokenScores:
    """Scores of the tokens of `input_ids` (B, S), right padded, where `response` (B, S, bool) holds; N = response.sum().

    Right padding needs no attention mask in a causal model: no real token looks at what follows it.
    """
    positions = response[:, 1:]  # token t is predicted at t - 1
    chosen = input_ids[:, 1:][positions]
    index = positions.flatten().nonzero().squeeze(1)
    if model.config.model_type in PLAIN_HEADS:
        hidden = model.base_model(input_ids=input_ids, use_cache=False).last_hidden_state[:, :-1]
        rows = hidden.reshape(-1, hidden.shape[-1]).index_select(0, index)
        return _by_chunks(model.get_output_embeddings(), rows, chosen, temperature)
    first = int(positions.any(0).nonzero()[0]) if len(chosen) else 0
    kept = torch.arange(first, input_ids.shape[1] - 1, device=input_ids.device)
    logits = model(input_ids=input_ids, use_cache=False, logits_to_keep=kept).logits
    index = positions[:, first:].flatten().nonzero().squeeze(1)
    return of_logits(logits.reshape(-1, logits.shape[-1]).index_select(0, index), chosen, temperature)


def _by_chunks(head: Any, hidden: Tensor, chosen: Tensor, temperature: float) -> TokenScores:
    """The head over at most CHUNK rows at a time, recomputed in the backward pass when there are more."""
    if len(hidden) <= CHUNK:
        return of_logits(head(hidden), chosen, temperature)

    def part(rows: Tensor, ids: Tensor) -> TokenScores:
        return of_logits(head(rows), ids, temperature)

    parts = [
        checkpoint(part, hidden[start : start + CHUNK], chosen[start : start + CHUNK], use_reentrant=False)
        for start in range(0, len(hidden), CHUNK)
    ]
    return TokenScores(torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts]))
