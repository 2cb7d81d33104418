"""The paper's binary rule: 1 where the last line contains the reference (arXiv 2503.23829; reward_bridge.md
3.1, 8.2).

Whole words must match: as a bare substring (`substring`), `2` is in `12` (reward_bridge.md 9.21).
"""

from __future__ import annotations

from pipelines.rewards.answers.stated_line import reason_misplaced, stated_line
from pipelines.rewards.answers.words import words
from pipelines.rewards.verdict import Verdict, error, right, wrong


def check(text: str, answer: str, finished: bool) -> Verdict:
    """Right where the last line contains the reference's words consecutively."""
    reference_words = words(answer)
    if not reference_words:
        return error("the reference answer is empty")
    if not finished:
        return wrong("cut off before the end")
    line, reason = stated_line(text, answer)
    if reason:
        return wrong(reason)
    line_words = words(line)
    contained = any(
        line_words[start : start + len(reference_words)] == reference_words
        for start in range(len(line_words) - len(reference_words) + 1)
    )
    reason = reason_misplaced(line, answer) if contained else "the last line does not contain the reference"
    return wrong(reason) if reason else right()


def respond(answer: str) -> str:
    """Returns the shortest response that states `answer`."""
    return answer
