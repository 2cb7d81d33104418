"""The rule for multiple choice: the option letter that a response chooses (`option_letters`) must be the
reference's.
"""

from __future__ import annotations

import re

from pipelines.rewards.answers.commitment import AIMS, OPEN_END
from pipelines.rewards.answers.extraction import (
    MARK,
    THOUGHT,
    extract_final_answer,
    extract_reference,
    last_line,
    reasoning_unclosed,
)
from pipelines.rewards.answers.option_letters import chosen_letter
from pipelines.rewards.answers.statements import without_strikethrough
from pipelines.rewards.verdict import Verdict, error, right, wrong

# `B`, `(b)`, `B. the option's text`
REFERENCE = re.compile(r"\(?([A-J])\)?\.?|\(?((?-i:[A-J]))(?:\)|[.:](?=\s))\s*\S.*", re.I | re.S)
LABELS = re.compile(r"(?<!\w)\(?([A-J])(?:\)|\.(?=\s+\S))")
BESIDE = re.compile(r"[(（]\s*(?:or|或)\b|\\ne(?:q)?\b|≠")
CROSSED = re.compile("[❌✗✘✖❎🚫⛔]")
EXCLUDES = re.compile(r"\b(?:impossible|ruled out|eliminated|excluded|e\.g\.)|\bfor example\b", re.I)
READ = 20_000  # characters from the end of a response


def check(text: str, answer: str, finished: bool) -> Verdict:
    """Returns the verdict on the response `text`. `answer` must be a letter A to J, alone, in brackets, or
    before the option's text; anything else is an error verdict.
    """
    reference = REFERENCE.fullmatch(extract_reference(answer).strip())
    if reference is None:
        return error(f"the reference {answer[:40]!r} is no option letter")
    if not finished:
        return wrong("cut off before the end")
    chosen, reason = chosen_option(text)
    if not chosen:
        return wrong(reason)
    return right() if chosen == (reference[1] or reference[2]).upper() else wrong(f"answered {chosen}")


def chosen_option(text: str) -> tuple[str, str]:
    """Returns (the option that a response chooses, ""), or ("", why there is none)."""
    if not text.strip():
        return "", "the response is empty"
    thoughts = [thought.end() for thought in THOUGHT.finditer(text)]
    text = text[thoughts[-1] :] if thoughts else text
    text = without_strikethrough(text)
    if reasoning_unclosed(text):
        return "", "no answer after the reasoning"
    marks = text.count(MARK)
    if marks > 1:  # listing candidates must not pay
        return "", f"{marks} final answers"
    if reason := _reason_withheld(text[-READ:]):
        return "", reason
    chosen = chosen_letter((text.partition(MARK)[2] if marks else text)[-READ:])
    return chosen, "" if chosen else "no option letter"


def _reason_withheld(text: str) -> str:
    """Returns why the answer that marks or phrases introduce does not count (a question, negated, retracted,
    an aim, one of several), or "".
    """
    extracted = extract_final_answer(text)
    if extracted.reason not in ("", "no final answer", "the response is empty", "the box is empty"):
        return extracted.reason
    line = extracted.text if extracted.stated else last_line(text)
    if (
        (OPEN_END.search(line) and len(line.split()) < 4)
        or BESIDE.search(line)
        or ("\\boxed" in text and " , " in extracted.text)
    ):
        return "several answers are named"
    if CROSSED.search(line):
        return "the option is crossed out"
    if not extracted.stated and (len(set(LABELS.findall(line))) > 1 or EXCLUDES.search(line)):
        return "options are named, none is chosen"
    return "the answer is a condition" if AIMS.search(line) else ""


def respond(answer: str) -> str:
    """Returns the shortest response that states `answer`."""
    return f"{MARK} {answer}"
