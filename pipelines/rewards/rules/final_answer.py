"""The exact-answer checker: the text after the one `####` must equal the answer, commas and letter case aside
(GSM8K's convention).

Commas are dropped on both sides: gold answers hold them too, in 79 training rows of GSM8K. More than one
`####` is wrong, so that listing candidates does not pay (the SPO code gives -2 there; spo.md 6).
"""

from __future__ import annotations

from pipelines.rewards.answers.extraction import reason_no_final_answer
from pipelines.rewards.verdict import Verdict, error, right, wrong

MARK = "####"


def normalize(text: str) -> str:
    """Commas and outer blanks dropped, letter case folded."""
    return text.replace(",", "").strip().casefold()


def check(text: str, answer: str, finished: bool) -> Verdict:
    """`text` is the response, `answer` the reference, `finished` whether the model ended the response
    itself.
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
    given = normalize(text.partition(MARK)[2])
    return right() if given == expected else wrong(f"answered {given[:40]!r}")


def respond(answer: str) -> str:
    """The shortest response that states `answer`: what the preflight scores."""
    return f"{MARK} {answer}"
