"""The strong rule: a stated final answer is compared as text, truth value, number with unit, list, set, interval or formula.

The answer is what follows the one `####`, stands in the last `\\boxed{}`, or is the last line without its lead-in (`extraction`). Formulas
go through math-verify in processes with a hard kill; what it gets wrong (methods/reward_bridge.md 8.3) is handled around it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

from pipelines.rewards import symbolic
from pipelines.rewards.equivalence import quickly
from pipelines.rewards.extraction import MARK, final_answer_of, reference_of
from pipelines.rewards.verdict import Verdict, error, right, wrong
from pipelines.rewards.workers import Workers

__all__ = ["check", "check_many", "respond", "symbolic"]  # symbolic runs in the workers: named here, it is part of every user's code
DETERMINISTIC = False  # a formula's verdict may be its time limit's
MAX_REFERENCE = 4000
NOT_A_NUMBER = frozenset(("nan", "inf", "-inf", "null", "none"))


@cache
def workers() -> Workers:
    """The processes of this one, started at the first formula."""
    return Workers()


def check(text: str, answer: str, finished: bool) -> Verdict:
    """`text` is the response, `answer` the reference, `finished` whether the model ended the response itself."""
    return check_many([(text, answer, finished)])[0]


def check_many(responses: Sequence[tuple[str, str, bool]], pool: Workers | None = None) -> list[Verdict]:
    """(response, reference, finished) -> a verdict each, in order. Equal pairs are compared once; one pair's failure is its own."""
    verdicts: list[Verdict | None] = []
    asked: dict[tuple[str, str], list[int]] = {}
    for place, (text, answer, finished) in enumerate(responses):
        found = _before(text, answer, finished)
        if isinstance(found, Verdict):
            verdicts.append(found)
        else:
            verdicts.append(None)
            asked.setdefault(found, []).append(place)
    for pair, verdict in zip(asked, (pool or workers()).compare(list(asked)) if asked else [], strict=True):
        for place in asked[pair]:
            verdicts[place] = verdict
    return [verdict if verdict is not None else error("not compared") for verdict in verdicts]


def respond(answer: str) -> str:
    """The shortest response that states `answer`: what the preflight scores."""
    return f"{MARK} {reference_of(answer)}"


def _before(text: str, answer: str, finished: bool) -> Verdict | tuple[str, str]:
    """What needs no symbolic mathematics; else the pair (final answer, reference) to compare."""
    reference = reference_of(answer).strip()
    fault = _fault(reference)
    if fault:
        return error(fault)
    if not finished:
        return wrong("cut off before the end")
    if _broken(text):
        return error("the response is not valid Unicode")
    found = final_answer_of(text)
    if not found.text:
        return wrong(found.reason or "no final answer")
    verdict = quickly(found.text, reference)
    if verdict is None:
        return found.text, reference
    return right() if verdict.outcome == "right" else verdict


def _fault(reference: str) -> str:
    """Why the reference cannot be used; empty when it can."""
    if _broken(reference):
        return "the reference answer is not valid Unicode"
    if not reference or not any(character.isalnum() or character in "∅\\{}" for character in reference):
        return "the reference answer is empty"
    if reference.casefold() in NOT_A_NUMBER or _is_nan(reference):
        return f"the reference answer is {reference}"
    return f"a reference of {len(reference)} characters is no final answer" if len(reference) > MAX_REFERENCE else ""


def _is_nan(text: str) -> bool:
    try:
        return math.isnan(float(text[:40]))
    except ValueError:
        return False


def _broken(text: str) -> bool:
    """Whether it holds halves of characters (lone surrogates), which no text does."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
