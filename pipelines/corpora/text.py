"""Cleaning a text without changing what it says, and reducing it to what a comparison should see.

Full NFKC is unsafe on mathematics (it turns x² into x2), so only decompositions that keep the meaning are applied.
"""

from __future__ import annotations

import re
import unicodedata

SAFE = ("<noBreak>", "<wide>", "<narrow>", "<compat>")  # not <super>, <sub>, <fraction>, <font>: they carry meaning in formulas
INVISIBLE = dict.fromkeys([0x00AD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065), 0xFEFF])
NOT_ASCII = re.compile(r"[^\x00-\x7f]")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # categories Cc and Cs, but newline and tab
SPACES = re.compile(r"[^\S\n]+")
BLANK_LINES = re.compile(r"\n{3,}")
WORDS = re.compile(r"\w+")
SYMBOLS = re.compile(r"\w+|[^\w\s]")
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
BETWEEN_DIGITS = re.compile(r"(?<=\d)(?:(\.)|[^\w+\-*/^%=<>]+)(?=\d)")
REST = re.compile(r"[^\w+\-*/^%=<>. ]|_|(?<!\d)[. ]|[. ](?!\d)")


def normalise(text: str) -> str:
    """Safe compatibility characters decomposed, NFC, no invisible or control characters, single spaces, no space at a line's ends."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        text = unicodedata.normalize("NFC", NOT_ASCII.sub(lambda match: _safe(match.group()), text)).translate(INVISIBLE)
    lines = (SPACES.sub(" ", line).strip(" ") for line in CONTROL.sub("", text).split("\n"))
    return BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")


def _safe(character: str) -> str:
    tag, _, rest = unicodedata.decomposition(character).partition(" ")
    # a spacing accent decomposes to a space and a combining mark: no reader would call that the same
    return unicodedata.normalize("NFKC", character) if tag in SAFE and not rest.startswith("0020 ") else character


def comparable(text: str) -> str:
    """What makes two texts equal for deduplication: NFKC, case folded, letters, digits and operators only; numbers stay apart and whole."""
    folded = THOUSANDS.sub("", unicodedata.normalize("NFKC", text).casefold())
    return REST.sub("", BETWEEN_DIGITS.sub(lambda match: match.group(1) or " ", folded))


def words(text: str) -> list[str]:
    """Words and numbers, case folded, without symbols: what n-grams are made of."""
    return WORDS.findall(unicodedata.normalize("NFKC", text).casefold())


def symbols(text: str) -> list[str]:
    """Words, numbers and single symbols, case folded: what shingles are made of; a formula is more than its letters."""
    return SYMBOLS.findall(unicodedata.normalize("NFKC", text).casefold())
