"""The two labels as tokens, in the context in which the verifier writes them (reward_bridge.md 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LabelTokens:
    """Token ids of all spellings of yes and of no, whose probabilities are summed. Disjoint and not empty."""

    positive: tuple[int, ...]
    negative: tuple[int, ...]

    @property
    def ids(self) -> tuple[int, ...]:
        """All ids, the positive ones first."""
        return (*self.positive, *self.negative)


def find_labels(
    positive: Sequence[str], negative: Sequence[str], encode: Callable[[str], Sequence[int]]
) -> LabelTokens:
    """Returns the ids of the labels. `encode(spelling)`: the tokens of a spelling right after the prompt,
    without an end token.

    Spellings of several tokens are ignored, since only one position is read. Raises ValueError where a label
    has no spelling of one token, or both labels share one.
    """
    labels = LabelTokens(_one_token_ids(positive, encode), _one_token_ids(negative, encode))
    for name, spellings, ids in (
        ("positive", positive, labels.positive),
        ("negative", negative, labels.negative),
    ):
        if not ids:
            raise ValueError(
                f"no spelling of the {name} label ({', '.join(map(repr, spellings))}) is one token here; "
                f"choose another pair"
            )
    if both := set(labels.positive) & set(labels.negative):
        raise ValueError(f"the labels share the tokens {sorted(both)}; choose another pair")
    return labels


def _one_token_ids(spellings: Sequence[str], encode: Callable[[str], Sequence[int]]) -> tuple[int, ...]:
    pieces = [tuple(encode(spelling)) for spelling in spellings]
    return tuple(dict.fromkeys(ids[0] for ids in pieces if len(ids) == 1))
