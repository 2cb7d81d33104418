"""The limits of a set that the rows looked at ask for: in tokens, and of bad rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flows.new.data import NewError, Part
from flows.new.model import GivenModel
from flows.new.wish import Fitted

MOST_BAD = 0.5  # share of bad rows from which on the data is not what it was taken for
ROOM = 1024  # tokens of a response, where the model's context has the room
SMALLEST = 64  # a limit in tokens is a power of two from here on
SPARE = 1.25  # of the longest, since not all rows are looked at
FREE = 1_000_000  # no limit while lengths are measured


def fit(fitted: Fitted, model: GivenModel, prompts: Sequence[int], responses: Sequence[int]) -> None:
    """Sets limits that leave nothing out where the model's context has the room."""
    longest = max(responses, default=0)
    fitted.max_prompt_tokens, fitted.max_response_tokens = limits(model, prompts, responses, longest or ROOM)


def limits(
    model: GivenModel, prompts: Sequence[int], responses: Sequence[int], wanted: int
) -> tuple[int, int]:
    context = model.context or FREE
    response = min(_power(wanted), max(SMALLEST // 2, context // 2))
    prompt = min(_power(max(prompts, default=SMALLEST)), max(1, context - response))
    return prompt, response


def _power(value: int) -> int:
    power = SMALLEST
    while power < SPARE * value:
        power *= 2
    return power


def tolerated(ledgers: Iterable[Mapping[str, Any]], parts: Sequence[Part]) -> float:
    """Returns the share of bad rows that the set must allow. Raises NewError where half of a source's are."""
    share = 0.0
    for ledger in ledgers:
        bad, read = ledger.get("bad", 0), ledger.get("read", 0)
        if bad and bad >= MOST_BAD * read:
            lines = "\n  ".join(ledger["first_bad"])
            raise NewError(
                f"{names(parts)}: {bad} of {read} rows cannot be used; mend them, part them by layout, or "
                f"write the recipe by hand (docs/own-data.md):\n  {lines}"
            )
        share = max(share, rounded_up(bad, read))
    return share


def rounded_up(bad: int, read: int) -> float:
    """Returns a share with SPARE, for rows that were not looked at, in whole per cent."""
    return min(0.99, math.ceil(100 * SPARE * bad / read) / 100) if bad else 0.0


def names(parts: Sequence[Part]) -> str:
    return ", ".join(part.shown for part in parts)
