"""Log-probs and entropies of given tokens, at response positions only: the vocabulary-wide head never runs on
the prompt.

Everything vocabulary-wide is float32 (float64 stays), made for a limited number of tokens at a time and
recomputed in the backward pass, so that a full (tokens x vocabulary) copy never exists (entropy.md 8.1, 8.2
and 8.6).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

CHUNK = 1 << 26  # logits that exist at once: 256 MiB in float32, 441 tokens of a vocabulary of 152k
# logits are one linear map of the last hidden state, nothing more
PLAIN_HEADS = frozenset({"llama", "qwen2", "qwen3", "mistral"})


class TokenScores(NamedTuple):
    """logprobs (N,) of the chosen tokens, with gradient; entropy (N,) in nats, without gradient, zeros where
    it was not asked for.
    """

    logprobs: Tensor
    entropy: Tensor


def entropy_of(logprobs: Tensor) -> Tensor:
    """Returns (..., V) log-probs -> (...) entropy in nats, with gradient; an impossible token (-inf) adds 0
    (entropy.md 2.1, 4.6).
    """
    return -(logprobs.exp() * logprobs.clamp_min(torch.finfo(logprobs.dtype).min)).sum(-1)


def of_logits(logits: Tensor, chosen: Tensor, temperature: float, entropy: bool = True) -> TokenScores:
    """logits (N, V), chosen ids (N,) -> their log-probs under softmax(logits / temperature), and the entropy
    in nats where asked for.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    every = torch.log_softmax(logits if temperature == 1.0 else logits / temperature, -1)
    logprobs = every.gather(-1, chosen[:, None]).squeeze(1)
    with torch.no_grad():
        return TokenScores(logprobs, entropy_of(every) if entropy else torch.zeros_like(logprobs))


def score(
    model: Any, input_ids: Tensor, response: Tensor, temperature: float = 1.0, entropy: bool = True
) -> TokenScores:
    """Scores of the tokens of `input_ids` (B, S), right padded, where `response` (B, S, bool) holds; N =
    response.sum(), row-major.

    Right padding needs no attention mask in a causal model: no real token looks at what follows it.
    """
    positions = response[:, 1:]  # token t is predicted at t - 1
    chosen = input_ids[:, 1:][positions]
    index = positions.flatten().nonzero().squeeze(1)
    if model.config.model_type in PLAIN_HEADS:
        hidden = model.base_model(input_ids=input_ids, use_cache=False).last_hidden_state[:, :-1]
        rows = hidden.reshape(-1, hidden.shape[-1]).index_select(0, index)
        return by_chunks(model.get_output_embeddings(), rows, chosen, temperature, entropy)
    first = int(positions.any(0).nonzero()[0]) if len(chosen) else 0
    kept = torch.arange(first, input_ids.shape[1] - 1, device=input_ids.device)
    logits = model(input_ids=input_ids, use_cache=False, logits_to_keep=kept).logits
    index = positions[:, first:].flatten().nonzero().squeeze(1)
    return of_logits(
        logits.reshape(-1, logits.shape[-1]).index_select(0, index), chosen, temperature, entropy
    )


def by_chunks(
    head: Any, states: Tensor, chosen: Tensor, temperature: float, entropy: bool = True
) -> TokenScores:
    """states (N, width) through `head` and `of_logits`, at most CHUNK logits at a time; several chunks are
    recomputed for the gradient.
    """
    rows = max(1, CHUNK // head.weight.shape[0])
    if len(states) <= rows:
        return of_logits(head(states), chosen, temperature, entropy)

    def part(some: Tensor, ids: Tensor) -> TokenScores:
        return of_logits(head(some), ids, temperature, entropy)

    pairs = zip(states.split(rows), chosen.split(rows), strict=True)
    parts = [checkpoint(part, some, ids, use_reentrant=False) for some, ids in pairs]
    return TokenScores(torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts]))
