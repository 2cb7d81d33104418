"""The last line as an answer, for rules that search it for the reference. Questions, refusals, guesses, plans
and lists state nothing.

Without this check a response is rewarded for naming all options (`It could be A, B, C or D`), or for asking.
"""

from __future__ import annotations

import re

from pipelines.rewards.answers.commitment import (
    ASKS,
    CONCLUDING,
    OPEN_END,
    has_negation,
    reason_uncommitted,
    reason_undecided,
    retracts,
)
from pipelines.rewards.answers.statements import is_lead_in, last_line, stated_answer, without_strikethrough
from pipelines.rewards.answers.words import words

LISTS = re.compile(r"\b(?:or|and|vs|versus)\b|[;/|、&]|或|还是|和", re.I)
NUMBERED = re.compile(r"(?<!\w)\(?(?:\d|[A-Ja-j])\)\s*(?=\S.*(?<!\w)\(?(?:\d|[A-Ja-j])\))")  # (1) one (2) two
EQUAL = re.compile(r"=")
COMMA = re.compile(r"[,，](?!\d{3}(?!\d))")
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3})")
MARKS = re.compile(r"#{4,}")
CONCLUDES = re.compile(
    r"^\W*(?:so|thus|hence|therefore|finally|in conclusion|consequently|altogether|in total"
    r"|所以|因此|故|综上|"
    r"总之)(?![A-Za-z])",
    re.I,
)
FILLERS = re.compile(
    r"\\(?:boxed|fbox|text\w*|math\w+|frac|left|right)\b|\b(?:the|an|(?-i:a)|that|it is|it's|only|just|"
    r"exactly|now|called|named|option|answer)\b",
    re.I,
)
VERB = re.compile(
    r"\b(?:is|are|was|were|be|has|have|had|can|could|will|would|does|do|we|it|appears?|gives?|occurs?|on "
    r"both)\b",
    re.I,
)


def stated_line(text: str, reference: str) -> tuple[str, str]:
    """Returns (statement of the last line without its introduction, ""), or ("", why it states nothing)."""
    line = last_line(without_strikethrough(text))
    if not line:
        return "", "the response is empty"
    if len(MARKS.findall(text)) > 1:  # listing candidates must not pay
        return "", "several final answers"
    if line.strip().casefold() == reference.strip().casefold():
        return line, ""
    if is_lead_in(line) or not words(line.replace("boxed", "")):
        return "", "no answer follows"
    stated = stated_answer(line)
    if stated is not None and not stated.text:
        return "", stated.reason
    statement = stated.text if stated is not None else line
    # the reference may hold such words itself
    own = re.compile(rf"(?<!\w){re.escape(reference.strip())}(?!\w)", re.I)
    reason = _reason_uncommitted(
        own.sub(" ", line), own.sub(" ", statement), stated is not None
    ) or _reason_several(statement, reference, stated is not None)
    return ("", reason) if reason else (statement, "")


def reason_misplaced(statement: str, reference: str, within_words: bool = False) -> str:
    """Returns why the reference is not the answer of the statement `statement`, or "".

    It must begin the statement, end it after a verb such as `is` or `has`, or be all of it; up to three words
    may follow a number. `within_words`: the reference may be part of a word.
    """
    statement = THOUSANDS.sub("", statement)
    spelled = r"\W*".join(map(re.escape, words(reference)))
    edge = "[A-Za-z0-9.]*" if within_words else ""
    occurrences = list(
        re.finditer(rf"(?<![A-Za-z0-9])[-−+$€£(\[{{]*{edge}{spelled}{edge}(?![A-Za-z0-9])", statement, re.I)
    )
    if not occurrences:
        return "the last line does not contain the reference"
    before, after = statement[: occurrences[-1].start()], FILLERS.sub(" ", statement[occurrences[-1].end() :])
    begins = not words(FILLERS.sub(" ", before))
    ends = re.search(rf"{CONCLUDING}\s*$", FILLERS.sub(" ", before).rstrip(), re.I) is not None
    behind = words(after)
    if not (begins or ends or (CONCLUDES.match(before) and len(words(FILLERS.sub(" ", before))) == 1)):
        return "the reference stands in the last line, but not as its answer"
    numeric = reference.strip()[-1:].isdigit() or reference.strip().endswith("%")
    allowed = 3 if numeric else 0
    plain = not behind or (
        len(behind) <= allowed
        and after.strip(" .!*").replace(" ", "").isalpha()
        and after.islower()
        and not re.search(VERB, after)
    )
    return "" if plain else "the last line says more than the reference"


def _reason_uncommitted(line: str, statement: str, introduced: bool) -> str:
    """Returns why a line, from which the reference was removed, states nothing, or "". `statement` is the
    line without its introduction.
    """
    if ASKS.search(line):
        return "the answer is asked, not stated"
    if has_negation(line) or retracts(line):
        return "the answer is denied"
    if OPEN_END.search(statement):
        return "several answers are named"
    return reason_undecided(statement) if introduced else reason_uncommitted(statement)


def _reason_several(statement: str, reference: str, introduced: bool) -> str:
    """Returns why the statement counts as several answers, or ""."""
    for separator in (LISTS, NUMBERED, EQUAL):
        if len(separator.findall(statement)) > len(separator.findall(reference)):
            return "several answers are named"
    commas = len(COMMA.findall(statement)) - len(COMMA.findall(reference))
    short = all(len(words(part)) <= 3 for part in COMMA.split(statement))
    return "several answers are named" if commas > (0 if introduced or short else 1) else ""
