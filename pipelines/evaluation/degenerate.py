"""Degenerate responses: empty, unfinished, or repetitive (dpo_vs_ppo.md 4.3 asks for their share)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipelines.evaluation.assessment_params import DegenerateParams
from pipelines.evaluation.intervals import share_of

KINDS = ("empty", "unfinished", "repeated")


def faults(ids: Sequence[int], text: str, finished: bool, settings: DegenerateParams) -> list[str]:
    """Returns which of KINDS a response is. `ids` may end with the end token; `finished`: the
    model ended it.
    """
    kinds = [] if text.strip() else ["empty"]
    if not finished:
        kinds.append("unfinished")
    if loops(ids, settings.period, settings.repeats, settings.tokens):
        kinds.append("repeated")
    return kinds


def loops(ids: Sequence[int], period: int, repeats: int, tokens: int) -> bool:
    """Returns whether a sequence of at most `period` tokens occurs at least `repeats` times in a row, over at
    least `tokens` tokens.
    """
    for step in range(1, min(period, len(ids) // repeats) + 1):
        needed = max((repeats - 1) * step, tokens - step)
        same = 0
        for first, second in zip(ids, ids[step:], strict=False):
            same = same + 1 if first == second else 0
            if same >= needed:
                return True
    return False


def degenerate_rate(kinds_by_answer: Sequence[Sequence[str]], prompts: Sequence[str]) -> dict[str, object]:
    """`faults` of every response -> the share with any, its Wilson interval over prompts, and
    counts by kind.
    """
    counts = Counter(kind for kinds in kinds_by_answer for kind in kinds)
    return {
        **share_of([float(bool(kinds)) for kinds in kinds_by_answer], prompts),
        "kinds": {kind: counts[kind] for kind in KINDS},
    }
