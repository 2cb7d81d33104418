"""The paper's containment to the letter: the reference as a substring of the last line, letter case aside (methods/reward_bridge.md 3.1).

Short references are found in anything (`2` in `12`: 132 of 3,275 wrong answers of GSM8K's published ones pass), so preflights refuse it on
numbers; `containment` is the same rule on whole words.
"""

from __future__ import annotations

from pipelines.rewards.extraction import last_line
from pipelines.rewards.verdict import Verdict, error, right, wrong


def check(text: str, answer: str, finished: bool) -> Verdict:
    """Whether the last line contains the reference."""
    wanted = answer.strip().casefold()
    if not wanted:
        return error("the reference answer is empty")
    if not finished:
        return wrong("cut off before the end")
    line = last_line(text).casefold()
    if not line:
        return wrong("the response is empty")
    return right() if wanted in line else wrong("the last line does not contain the reference")


def respond(answer: str) -> str:
    """The shortest response that states `answer`."""
    return answer.strip()
