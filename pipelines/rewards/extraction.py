"""Where in a response the answer stands: after the one `####`, in the last `\\boxed{}`, or in the last line (methods/reward_bridge.md 2.1).

Pure string work, linear in the length of the response, so that an answer of 100 kB costs no more than its bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MARK = "####"
BOXES = ("\\boxed", "\\fbox")
LEAD_IN = re.compile(
    r"^(?:[\W_]*(?:so|thus|hence|therefore|finally|in conclusion|we (?:get|have|find)|that is)\b[,:]?\s*)*[\W_]*?"
    r"(?:(?:the|our|my|your)?\s*(?:final|correct|right|full|short)?\s*(?:answer|result|solution|value|output|option|choice)"
    r"(?:\s+(?:to|of|for)\s+[^:=]{1,60}?)?\s*(?:is|are|was|=|:)\s*:?|a\s*:|ans(?:wer)?\s*[.:])",
    re.I,
)
CHINESE_LEAD_IN = re.compile(
    r"^(?:所以|因此|故|综上|即|那么)?[,，]?\s*(?:最终|正确)?(?:答案|结果|解|选项|选)\s*(?:是|为|[:：])?\s*[:：]?\s*"
)
CONNECTIVE = re.compile(r"^(?:so|thus|hence|therefore|then)\b[,:]?\s*", re.I)
TAIL = re.compile(r"\.?\s*I hope it is correct\.?\s*$", re.I)


@dataclass(frozen=True, slots=True)
class Found:
    """`text` is the answer as written; empty with a `reason` where there is none."""

    text: str
    reason: str = ""


def last_line(text: str) -> str:
    """The last line with a character that is not blank, stripped; empty when there is none."""
    stripped = text.rstrip()
    return stripped[max(stripped.rfind("\n"), stripped.rfind("\r")) + 1 :].strip()


def last_boxed(text: str) -> str | None:
    """What the last `\\boxed{...}` holds, its braces matched; None without one, or when its brace never closes."""
    start = max(text.rfind(box) for box in BOXES)
    if start < 0:
        return None
    opening = start + len("\\boxed" if text.startswith("\\boxed", start) else "\\fbox")
    rest = text[opening:].lstrip()
    if not rest.startswith("{"):
        return rest.split("\n")[0].split("$")[0].split(" ")[0] or None
    depth = 0
    for place, character in enumerate(rest):
        if character in "{}" and not (place and rest[place - 1] == "\\"):
            depth += 1 if character == "{" else -1
            if depth == 0:
                return rest[1:place].strip()
    return None


def without_lead_in(line: str) -> str:
    """`Therefore, the answer is 5.` -> `5.`; a line without a lead-in stays as it is."""
    line = TAIL.sub("", line.strip().strip("*").strip())
    for pattern in (LEAD_IN, LEAD_IN, CHINESE_LEAD_IN, CONNECTIVE):  # `Final Answer: The final answer is 5.` has two
        found = pattern.match(line)
        if found and line[found.end() :].strip():
            line = line[found.end() :].strip()
    return line.strip("*").strip()


def final_answer_of(text: str) -> Found:
    """The answer that a response states. More than one `####` is none: listing candidates must not pay."""
    marks = text.count(MARK)
    if marks > 1:
        return Found("", f"{marks} final answers")
    if marks:
        text = text.partition(MARK)[2]
    boxed = last_boxed(text)
    if boxed is not None:
        return Found(boxed) if boxed else Found("", "the box is empty")
    line = last_line(text)
    if not line:
        return Found("", "no final answer" if marks else "the response is empty")
    return Found(without_lead_in(line))


def reference_of(answer: str) -> str:
    """The reference itself: what follows `####` or stands in the box of a worked solution, else all of it."""
    after = answer.rpartition(MARK)[2].strip()
    boxed = last_boxed(after)
    return after if boxed is None else boxed
