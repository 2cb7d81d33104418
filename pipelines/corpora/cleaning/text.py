"""Texts for comparison: what a reader sees of one, and its words and symbols.

Nothing here changes a text that is trained on; `normalise` is for sources that ask for it. Whether two
questions are duplicates is decided by `canonical.canonical_form`. Full NFKC is unsafe on mathematics (it
turns x² into x2), so only decompositions that keep the meaning are applied.
"""

from __future__ import annotations

import re
import unicodedata

# not <super>, <sub>, <fraction>, <font>: they carry meaning in formulas
SAFE = ("<noBreak>", "<wide>", "<narrow>", "<compat>")
INVISIBLE = dict.fromkeys(
    [0x00AD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065), 0xFEFF]
)
# what a reader cannot see; but joiners and non-joiners, which make one picture of several, and letters look
# otherwise
UNSEEN = dict.fromkeys(
    [0x00AD, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), 0x2060, 0xFEFF, 0xFE0E, 0xFE0F]
)
NOT_ASCII = re.compile(r"[^\x00-\x7f]")
# categories Cc and Cs, but newline and tab
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
SPACES = re.compile(r"[^\S\n]+")
LINE_ENDS = re.compile(r"[^\S\n]+(?=\n|\Z)")
BLANK_LINES = re.compile(r"\n{3,}")
WORDS = re.compile(r"\w+")
SYMBOLS = re.compile(r"\w+|[^\w\s]")


def normalise(text: str) -> str:
    """Returns the text with safe compatibility characters decomposed, in NFC, without invisible or control
    characters, with single spaces and no space at the end of a line.
    """
    lines = (
        SPACES.sub(" ", line).strip(" ")
        for line in CONTROL.sub("", _composed(text).translate(INVISIBLE)).split("\n")
    )
    return BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")


def visible_form(text: str) -> str:
    """Returns what two answers that look the same have in common: line ends, trailing spaces, empty lines at
    both ends, the code points of a character and the kind of a space do not count; indentation and spaces
    inside a line do.
    """
    return LINE_ENDS.sub("", _composed(text).translate(UNSEEN)).strip("\n")


def _composed(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return (
        text
        if text.isascii()
        else unicodedata.normalize(
            "NFC", NOT_ASCII.sub(lambda match: safe_decomposition(match.group()), text)
        )
    )


def safe_decomposition(character: str) -> str:
    """Returns the compatibility decomposition of a character where that is another way to write the same,
    else the character.
    """
    tag, _, decomposition = unicodedata.decomposition(character).partition(" ")
    # a spacing accent decomposes to a space and a combining mark: no reader would call that the same
    return (
        unicodedata.normalize("NFKC", character)
        if tag in SAFE and not decomposition.startswith("0020 ")
        else character
    )


def words(text: str) -> list[str]:
    """Returns words and numbers, case folded, without symbols."""
    return WORDS.findall(unicodedata.normalize("NFKC", text).casefold())


def symbols(text: str) -> list[str]:
    """Returns words, numbers and single symbols, case folded; a formula is more than its letters."""
    return SYMBOLS.findall(unicodedata.normalize("NFKC", text).casefold())
