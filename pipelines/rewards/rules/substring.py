"""The paper's containment to the letter: the reference as a substring of the last line, letter case aside
(reward_bridge.md 3.1).

Short references are found in anything (`2` in `12`: 132 of 3,275 wrong answers of GSM8K's published ones
pass), so preflights refuse it on numbers; `containment` is the same rule on whole words. A single letter must
stand alone: it is in every sentence. What asks, refuses, guesses or lists states nothing (`stated_line`).
"""

from __future__ import annotations

import re

from pipelines.rewards.answers.stated_line import reason_misplaced, stated_line
from pipelines.rewards.verdict import Verdict, error, right, wrong


def check(text: str, answer: str, finished: bool) -> Verdict:
    """Whether the last line contains the reference."""
    wanted = answer.strip().casefold()
    if not wanted:
        return error("the reference answer is empty")
    if not finished:
        return wrong("cut off before the end")
    line, reason = stated_line(text, answer)
    if reason:
        return wrong(reason)
    alone = len(wanted) == 1 and wanted.isalpha()
    contained = (
        re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", line, re.I) is not None
        if alone
        else wanted in line.casefold()
    )
    reason = (
        reason_misplaced(line, answer, within_words=not alone)
        if contained
        else "the last line does not contain the reference"
    )
    return wrong(reason) if reason else right()


def respond(answer: str) -> str:
    """The shortest response that states `answer`."""
    return answer.strip()
