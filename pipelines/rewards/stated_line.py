"""The last line as an answer, for rules that look for the reference in it: what asks, refuses, guesses, plans or lists states nothing.

Without this, naming the options is worth a reward (`It could be A, B, C or D`), and so is asking for one.
"""

from __future__ import annotations

import re

from pipelines.rewards.commitment import ASKS, OPEN_END, denied, taken_back, uncommitted, undecided
from pipelines.rewards.statements import introduces, last_line, stated_in
from pipelines.rewards.words import words

LISTS = re.compile(r"\b(?:or|and|vs|versus)\b|[;/|、&]|或|还是|和", re.I)
NUMBERED = re.compile(r"(?<!\w)\(?(?:\d|[A-Ja-j])\)\s*(?=\S.*(?<!\w)\(?(?:\d|[A-Ja-j])\))")  # (1) one (2) two
EQUAL = re.compile(r"=")
COMMA = re.compile(r"[,，](?!\d{3}(?!\d))")
MARKS = re.compile(r"#{4,}")
CONCLUDES = re.compile(
    r"^\W*(?:so|thus|hence|therefore|finally|in conclusion|consequently|altogether|in total|所以|因此|故|综上|总之)(?![A-Za-z])", re.I
)
BESIDE = 6  # words beside the reference's that a line may have which does not say that it concludes


def stated_line(text: str, reference: str) -> tuple[str, str]:
    """(what the last line states, ""), or ("", why it states nothing). What introduces the answer is taken off."""
    line = last_line(text)
    if not line:
        return "", "the response is empty"
    if len(MARKS.findall(text)) > 1:  # listing candidates must not pay
        return "", "several final answers"
    if line.strip().casefold() == reference.strip().casefold():
        return line, ""
    if introduces(line) or not words(line.replace("boxed", "")):
        return "", "no answer follows"
    stated = stated_in(line)
    if stated is not None and not stated.text:
        return "", stated.reason
    said = stated.text if stated is not None else line
    own = re.compile(rf"(?<!\w){re.escape(reference.strip())}(?!\w)", re.I)  # the reference may hold such words itself
    reason = _unsaid(own.sub(" ", line), own.sub(" ", said), stated is not None)
    if not reason and stated is None and not CONCLUDES.match(line) and len(words(line)) > len(words(reference)) + BESIDE:
        reason = "a long line that does not conclude"
    reason = reason or _several(said, reference, stated is not None)
    return ("", reason) if reason else (said, "")


def _unsaid(line: str, said: str, introduced: bool) -> str:
    """Why a line, without the reference in it, states nothing; `said` is what an introduction leaves of it."""
    if ASKS.search(line):
        return "the answer is asked, not stated"
    if denied(line) or taken_back(line):
        return "the answer is denied"
    if OPEN_END.search(said):
        return "several answers are named"
    return undecided(said) if introduced else uncommitted(said)


def _several(said: str, reference: str, introduced: bool) -> str:
    """Why it names several answers; empty where it does not, as far as can be seen."""
    for separator in (LISTS, NUMBERED, EQUAL):
        if len(separator.findall(said)) > len(separator.findall(reference)):
            return "several answers are named"
    commas = len(COMMA.findall(said)) - len(COMMA.findall(reference))
    short = all(len(words(part)) <= 3 for part in COMMA.split(said))
    return "several answers are named" if commas > (0 if introduced or short else 1) else ""
