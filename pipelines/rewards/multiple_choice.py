"""Option letters: the one letter that a response settles on must be the reference's.

`B`, `(B)`, `B.`, `\\boxed{\\text{B}}`, `option B`, `选B`, `the answer is B because ...` state B; `A or B` states nothing.
"""

from __future__ import annotations

import re

from pipelines.rewards.extraction import MARK, final_answer_of, reference_of
from pipelines.rewards.verdict import Verdict, error, right, wrong

REFERENCE = re.compile(r"\(?([A-J])\)?\.?", re.I)
BRACES = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}|[$*]")
STATED = re.compile(r"^(?:(?i:option|choice)|选项?|答案)?\s*[(（【\[]?([A-J])(?![A-Za-z'’])[)）】\].:：、,]?(.*)$", re.S)
ANOTHER = re.compile(r"(?<![A-Za-z'’])([A-J])(?![A-Za-z'’])")


def check(text: str, answer: str, finished: bool) -> Verdict:
    """`answer` is one letter A to J, alone or in brackets; anything else is an error."""
    reference = REFERENCE.fullmatch(reference_of(answer).strip())
    if reference is None:
        return error(f"the reference {answer[:40]!r} is no option letter")
    if not finished:
        return wrong("cut off before the end")
    found = final_answer_of(text[-20_000:])
    given = letter(found.text)
    if not given:
        return wrong(found.reason or "no option letter")
    return right() if given == reference[1].upper() else wrong(f"answered {given}")


def letter(stated: str) -> str:
    """The option that a stated answer names; empty when it names none, or several (`A or B`, `A, C`)."""
    stated = BRACES.sub(lambda found: found[1] or "", stated).strip()
    match = STATED.match(stated)
    if match is None:
        return stated.upper() if re.fullmatch("[a-j]", stated) else ""
    others = [other for other in ANOTHER.findall(re.split(r"[.:：]|because|since", match[2])[0]) if other != match[1] and other not in "AI"]
    hedged = re.match(r"\s*(?:or|and|/|,|、|或|和)\s*[(（]?[A-J](?![A-Za-z'’])", match[2])
    return "" if others or hedged else match[1]


def respond(answer: str) -> str:
    """The shortest response that states `answer`."""
    return f"{MARK} {answer}"
