"""The essence of a question: what two questions that are nearly alike must have in common to be duplicates:
numbers, operators, names, negations, opposites, quoted text.

Similar wording alone proves little where questions come from templates: `Ann has 3 pens` and `Ann has 5 pens`
share almost every shingle.
"""

from __future__ import annotations

import re

from pipelines.corpora.cleaning.canonical import UNSPACED, canonical_form

QUOTED, NUMBER, WORD = (
    r"\"[^\"\n]*\"|`[^`]*`|(?<!\w)'[^'\n]*'(?!\w)",
    r"\d+(?:\.\d+)?",
    r"[^\W\d_]+(?:'[^\W\d_]+)*",
)
SIGN = r" (?=[+-])[+-]|\S"  # the blank that the canonical form keeps parts two entries: [1 -2]
TOKEN = re.compile(f"(?P<quoted>{QUOTED})|(?P<number>{NUMBER})|(?P<word>{WORD})|(?P<sign>{SIGN})")
INDENTED = re.compile(r"^[ \t]+\S.*$", re.MULTILINE)
PROSE = frozenset(",;.:?!")  # ignored unless it is between two numbers
SHORT_WORDS = "an as at be by do go he if in is it me my of ok on or so to up us we oh hi am the"
FUNCTION_WORDS = frozenset(SHORT_WORDS.split())
OF_QUANTITY = """
    two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty
    forty fifty sixty seventy eighty ninety hundred thousand million billion dozen half halves quarter
    quarters third thirds fourth fifth
    sixth seventh eighth ninth tenth first second last double twice triple thrice both single zero percent
    each every any all some
"""
OF_CONTRAST = """
    not no nor never neither none without except cannot unless false true wrong right with and or same
    different equal unequal
    more less fewer most least greater smaller larger bigger higher lower highest lowest largest smallest
    maximum minimum max min longest
    shortest longer shorter older younger oldest youngest faster slower before after above below over
    under inside outside left up down
    increase decrease increases decreases increased decreased gain lose gains loses gained lost buy sell
    buys sells bought sold
    odd even positive negative parallel perpendicular north south east west upper together always
    sometimes begin end start finish
    open closed earliest latest earlier later today yesterday tomorrow day days week weeks month months
    year years hour hours minute minutes
"""
OF_MATHEMATICS = """
    add subtract adds subtracts added subtracted multiply divide multiplied divided plus minus times sum
    difference product quotient ratio
    area perimeter volume length width height radius diameter mean median mode numerator denominator sine
    cosine tangent
    sub sup subscript superscript square squared cube cubed root power
"""
DECIDING = frozenset((OF_QUANTITY + OF_CONTRAST + OF_MATHEMATICS).split())
DECIDING_CHARACTERS = frozenset(
    "不没沒无無非未否莫勿别別反零一二两兩三四五六七八九十百千万萬亿億半〇大小多少高低上下左右前后後加减減乘除最正负負奇偶内外增长短早晚先东西南北男女"
)
DECIDING_PARTS = re.compile("ない|ません|ず|ไม่|มิ|[๐-๙]")


def essence(text: str) -> tuple[str, ...]:
    """Returns, in order, everything in a text that a reworded copy of the same question would keep."""
    return essence_of(canonical_form(text))


def essence_of(form: str) -> tuple[str, ...]:
    """Returns the essence of a text whose canonical form is `form`."""
    # a line of a program counts as one part
    parts = [line.rstrip() for line in INDENTED.findall(form)] if "\n" in form else []
    tokens = [(match.lastgroup, match.group()) for match in TOKEN.finditer(form)]
    for index, (kind, token) in enumerate(tokens):
        if (
            kind == "word"
            and len(token) > 2
            and token not in DECIDING
            and token.islower()
            and token.isascii()
            and "'" not in token
        ):
            continue  # the common case, tested first
        preceding = tokens[index - 1] if index else ("", "")
        following = tokens[index + 1] if index + 1 < len(tokens) else ("", "")
        if kind in ("quoted", "number") or (kind == "sign" and _sign(token, preceding, following)):
            parts.append(token)
        elif kind == "word":
            parts += _of_word(token, preceding, following)
    return tuple(parts)


def reordered(first: str, second: str) -> bool:
    """Returns whether two texts have the same words in another order: who gives to whom is not the same
    question.
    """
    first_words, second_words = (
        [match.group() for match in TOKEN.finditer(canonical_form(text)) if match.lastgroup == "word"]
        for text in (first, second)
    )
    return first_words != second_words and sorted(first_words) == sorted(second_words)


def may_be_one_question(first: str, second: str) -> bool:
    """Returns whether two texts that are nearly alike may be the same question."""
    return essence(first) == essence(second) and not reordered(first, second)


def _sign(token: str, preceding: tuple[str | None, str], following: tuple[str | None, str]) -> bool:
    if token == "!":
        return preceding[0] != "word" or len(preceding[1]) == 1
    if token in PROSE:
        return preceding[0] == following[0] == "number"
    return not (token == "-" and preceding[0] == following[0] == "word" and len(preceding[1]) > 1)


def _of_word(token: str, preceding: tuple[str | None, str], following: tuple[str | None, str]) -> list[str]:
    if UNSPACED.search(token):
        return [
            character for character in token if character in DECIDING_CHARACTERS
        ] + DECIDING_PARTS.findall(token)
    formula = following[1] == "(" or (
        "sign" in (preceding[0], following[0])
        and not {preceding[1], following[1]} <= PROSE | {"", "-"}
        and len(token) < 3
    )
    lower = token.casefold()
    if lower.endswith("n't"):
        return ["not"]
    if lower in DECIDING:
        return [token if token.isupper() and len(token) > 1 else lower]  # NO is a gas, No may be an answer
    if not token.isascii() and re.search("[a-z]", lower):
        return [token]  # letters with and without marks: ano, año
    if formula or token != lower or (len(token) <= 2 and token != "a" and lower not in FUNCTION_WORDS):
        return [] if token == "I" and not formula else [token]
    return []
