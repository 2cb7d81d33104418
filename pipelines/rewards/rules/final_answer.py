"""The exact-answer rule: the text after the single `####` must equal the answer, except for commas and letter
case (GSM8K's convention).

Commas are dropped on both sides: 79 gold answers of GSM8K's training set have them. More than one `####` is
wrong, so that listing candidates is not rewarded (the SPO code gives -2 there; spo.md 6).
"""

from __future__ import annotations

from pipelines.rewards.answers.extraction import reason_no_final_answer
from pipelines.rewards.verdict import Verdict, error, right, wrong

MARK = "####"


def normalize(text: str) -> str:
    """Removes commas and outer spaces, and folds letter case."""
    return text.replace(",", "").strip().casefold()


def check(text: str, answer: str, finished: bool) -> Verdict:
    """Returns the verdict on the response `text`; `answer` is the reference, `finished` false for a truncated
    response.
    """
    expected = normalize(answer.rpartition(MARK)[2])
    if not expected:
        return error("the reference answer is empty")
    if fault := reason_no_final_answer(answer):
        return error(fault)
    if not finished:
        return wrong("cut off before the end")
    count = text.count(MARK)
    if count != 1:
        return wrong("no final answer" if count == 0 else f"{count} final answers")
    final_answer = normalize(text.partition(MARK)[2])
    return right() if final_answer == expected else wrong(f"answered {final_answer[:40]!r}")


def respond(answer: str) -> str:
    """Returns the shortest response that states `answer`, which the preflight scores."""
    return f"{MARK} {answer}"
