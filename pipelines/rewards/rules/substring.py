"""The paper's containment rule as published: the reference is a substring of the last line, except for letter
case (reward_bridge.md 3.1).

Short references are substrings of much (`2` of `12`: 132 of 3,275 published wrong answers to GSM8K pass), so
preflights refuse this rule on numbers; `containment` matches whole words. A single letter must stand alone.
Questions, refusals, guesses and lists state nothing (`stated_line`).
"""

from __future__ import annotations

import re

from pipelines.rewards.answers.stated_line import reason_misplaced, stated_line
from pipelines.rewards.verdict import Verdict, error, right, wrong


def check(text: str, answer: str, finished: bool) -> Verdict:
    """Right where the last line contains the reference."""
    reference = answer.strip().casefold()
    if not reference:
        return error("the reference answer is empty")
    if not finished:
        return wrong("cut off before the end")
    line, reason = stated_line(text, answer)
    if reason:
        return wrong(reason)
    alone = len(reference) == 1 and reference.isalpha()
    contained = (
        re.search(rf"(?<!\w){re.escape(reference)}(?!\w)", line, re.I) is not None
        if alone
        else reference in line.casefold()
    )
    reason = (
        reason_misplaced(line, answer, within_words=not alone)
        if contained
        else "the last line does not contain the reference"
    )
    return wrong(reason) if reason else right()


def respond(answer: str) -> str:
    """Returns the shortest response that states `answer`."""
    return answer.strip()
