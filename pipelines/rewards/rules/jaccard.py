"""The paper's soft rule: the Jaccard similarity of the words of reference and last line (reward_bridge.md
3.1, 9.20).

The score is the similarity, 0 to 1. The outcome is `right` only for equal sets of words, so that accuracies
stay strict.
"""

from __future__ import annotations

from collections.abc import Collection

from pipelines.rewards.answers.extraction import last_line
from pipelines.rewards.answers.stated_line import stated_line
from pipelines.rewards.answers.words import words
from pipelines.rewards.verdict import Verdict, error, right, wrong


def similarity(left: Collection[str], right: Collection[str]) -> float:
    """Returns the Jaccard similarity of two sets of words, 0 to 1; 0 where both are empty."""
    union = set(left) | set(right)
    return len(set(left) & set(right)) / len(union) if union else 0.0


def check(text: str, answer: str, finished: bool) -> Verdict:
    """Scores the similarity of the last line to the reference."""
    reference_words = words(answer)
    if not reference_words:
        return error("the reference answer is empty")
    if not finished:
        return wrong("cut off before the end")
    line, reason = last_line(text), stated_line(text, answer)[1]
    if not line:
        return wrong(reason)
    score = similarity(words(line), reference_words)
    if score == 1:
        return wrong(reason) if reason else right()
    return Verdict("wrong", score, f"similarity {score:.2f}")


def respond(answer: str) -> str:
    """Returns the shortest response that states `answer`."""
    return answer
