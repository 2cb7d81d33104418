"""Parses numbers into exact fractions: separators, fractions, mixed numbers, percent, powers of ten, ratios,
English and Chinese words.

Two numbers are the same when they are equal, or when one is a decimal that the other rounds to (`same_number`
says with how many digits). Whole numbers are exact. Exponents are limited, so cost does not grow with them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_EXPONENT = 400
MAX_LENGTH = 120
REFERENCE_DIGITS = 3  # significant digits from which a decimal reference stands for all that rounds to it
ANSWER_DIGITS = 4  # and a decimal answer for the exact value it was rounded from

DECIMAL = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+)"
POWER = (
    r"(?:\s?[eE]\s*\{?([+-]?\d+)\}?|\s*(?:\\times|\\cdot|[*xX])\s*10\s*(?:\^"
    r"|\*\*)\s*(?:\{\s*([+-]?\s*\d+)\s*\}|([+-]?\d+)))"
)
PLAIN = re.compile(rf"([+-]?)\s*({DECIMAL})(?:{POWER})?")
TEN = re.compile(r"([+-]?)\s*10\s*(?:\^|\*\*)\s*(?:\{\s*([+-]?\s*\d+)\s*\}|([+-]?\d+))")
SLASHED = re.compile(rf"([+-]?)\s*({DECIMAL})\s*/\s*({DECIMAL})")
FRAC = re.compile(r"([+-]?)\s*\\frac\s*(?:\{\s*([+-]?)\s*(\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}|(\d))")
MIXED = re.compile(
    r"([+-]?)\s*(\d+)\s*(?:(?<=\d)\s+(\d+)\s*/\s*(\d+)|\\frac\s*(?:\{\s*(\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}"
    r"|(\d)))"
)
RATIO = re.compile(rf"({DECIMAL})\s*:\s*({DECIMAL})")
EUROPEAN = re.compile(r"([+-]?)\s*(\d{1,3}(?:\.\d{3})+),(\d{1,2}|\d{4,})")  # 1.234,5: no other reading
EUROPEAN_GROUPS = re.compile(r"([+-]?)\s*(\d{1,3}(?:\.\d{3}){2,})")  # 1.234.567: nor here
SPACED = re.compile(r"([+-]?)\s*(\d{1,3}(?: \d{3})+),(\d+)")  # 1 234,5
LITERAL = re.compile(r"0(?:[xX]([0-9A-Fa-f]{1,40})|[bB]([01]{1,80})|[oO]([0-7]{1,40}))")
BASES = {
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "twelve": 12,
    "sixteen": 16,
}
BASED = re.compile(
    r"\(?\s*((?=[A-Za-z]*\d|[A-F]{2})[0-9A-Za-z]{1,80})\s*\)?\s*_\s*\{?\s*(\d{1,2}|"
    + "|".join(BASES)
    + r")\s*\}?"
)
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
TIMES = re.compile(r"(.*\S)\s*(?:\b(hundred|thousand|million|billion|trillion)|([万亿]))", re.S)

UNITS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen
nineteen""".split()  # noqa: SIM905
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SMALL = {word: value for value, word in enumerate(UNITS)} | {
    word: 10 * (value + 2) for value, word in enumerate(TENS)
}
PARTS = {
    "third": 3,
    "quarter": 4,
    "fourth": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
    "ninth": 9,
    "tenth": 10,
}
# `3 quarters` may be coins
FRACTIONS = {f"{word}s": below for word, below in PARTS.items() if word != "quarter"} | {"halves": 2}
LARGE = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
CHINESE = {sign: value for value, sign in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
CHINESE_UNITS = {"十": 10, "百": 100, "千": 1000}
CHINESE_LARGE = {"万": 10**4, "亿": 10**8}
CHINESE_RUN = re.compile(r"[零〇一二两三四五六七八九十百千万亿]{1,20}")


@dataclass(frozen=True, slots=True)
class Number:
    """A parsed number. `ulp`: one unit in the last written place of a decimal, None for an exact value;
    `digits`: significant digits of a decimal.
    """

    value: Fraction
    ulp: Fraction | None = None
    digits: int = 0

    def times(self, factor: Fraction) -> Number:
        return Number(self.value * factor, None if self.ulp is None else self.ulp * abs(factor), self.digits)


def parse_number(text: str) -> Number | None:
    """Parses normalized `text` as a number; None where the whole text is not one, or it is longer than
    MAX_LENGTH or its exponent beyond MAX_EXPONENT.
    """
    text = text.strip()
    if not text or len(text) > MAX_LENGTH:
        return None
    if text.endswith("%"):
        percent = parse_number(text[:-1])
        return None if percent is None else percent.times(Fraction(1, 100))
    return (
        _prefixed_literal(text)
        or _decimal(text)
        or _power_of_ten(text)
        or _fraction(text)
        or _ratio(text)
        or _number_in_words(text)
        or _chinese_number(text)
        or _european_number(text)
        or _number_times_word(text)
    )


def parse_based_numeral(text: str) -> tuple[int, int] | None:
    """Returns (value, base) of `101_2`, `1F_{16}`, `0x1F`; None for other text, or digits that the base does
    not have.
    """
    if (literal := LITERAL.fullmatch(text)) is not None:
        base = {1: 16, 2: 2, 3: 8}[literal.lastindex or 1]
        return int(literal[literal.lastindex or 1], base), base
    match = BASED.fullmatch(text) if "_" in text else None
    if match is None:
        return None
    base = BASES.get(match[2]) or int(match[2])
    try:
        return (int(match[1], base), base) if 2 <= base <= 36 else None
    except ValueError:
        return None


def parse_decimal_comma(text: str) -> Number | None:
    """Parses `3,5` as a decimal, as much of the world writes it. It may also be a list of two numbers:
    callers must have a reason for this reading.
    """
    return (
        _decimal(text.replace(",", ".")) if DECIMAL_COMMA.fullmatch(text) and _decimal(text) is None else None
    )


def same_number(answer: Number, reference: Number) -> bool:
    """Returns whether two numbers are equal, or equal to the written precision: of an answer with
    ANSWER_DIGITS digits or more, or a reference with REFERENCE_DIGITS or more.
    """
    gap = abs(answer.value - reference.value)
    if gap == 0:
        return True
    fine = (answer.ulp or Fraction(0)) <= (reference.ulp or Fraction(0))
    coarse, least = (reference, REFERENCE_DIGITS) if fine else (answer, ANSWER_DIGITS)
    return coarse.ulp is not None and coarse.digits >= least and 2 * gap <= coarse.ulp


def _decimal(text: str) -> Number | None:
    match = PLAIN.fullmatch(text)
    if match is None:
        return None
    sign, digits, *powers = match.groups()
    bare = digits.replace(",", "")
    power = next((part for part in powers if part), None)
    exponent = int(power.replace(" ", "")) if power else 0
    if abs(exponent) > MAX_EXPONENT:
        return None
    scale = Fraction(10) ** exponent
    value = Fraction(bare.rstrip(".")) * scale
    if "." not in bare.rstrip(".") and power is None:
        return Number(-value if sign == "-" else value)
    places = len(bare.partition(".")[2])
    significant = len(bare.replace(".", "").lstrip("0"))
    return Number(-value if sign == "-" else value, scale / Fraction(10) ** places, significant)


def _power_of_ten(text: str) -> Number | None:
    match = TEN.fullmatch(text)
    if match is None:
        return None
    exponent = int((match[2] or match[3]).replace(" ", ""))
    return (
        None
        if abs(exponent) > MAX_EXPONENT
        else Number((-1 if match[1] == "-" else 1) * Fraction(10) ** exponent)
    )


def _fraction(text: str) -> Number | None:
    if match := SLASHED.fullmatch(text):
        above, below = (Fraction(part.replace(",", "").rstrip(".")) for part in (match[2], match[3]))
        return _quotient(match[1], above, below)
    if match := FRAC.fullmatch(text):
        sign = "-" if (match[1] == "-") != (match[2] == "-") else ""
        return _quotient(sign, Fraction(match[3] or match[4]), Fraction(match[5] or match[6]))
    if match := MIXED.fullmatch(text):
        part = _quotient(
            "", Fraction(match[3] or match[5] or match[6]), Fraction(match[4] or match[7] or match[8])
        )
        if part is not None and part.value < 1:
            mixed = Fraction(match[2]) + part.value
            return Number(-mixed if match[1] == "-" else mixed)
    return None


def _ratio(text: str) -> Number | None:
    match = RATIO.fullmatch(text)
    if match is None or re.fullmatch(r"0\d", match[2]):  # 12:05 is a time
        return None
    return _quotient("", Fraction(match[1].replace(",", "")), Fraction(match[2].replace(",", "")))


def _prefixed_literal(text: str) -> Number | None:
    literal = parse_based_numeral(text) if text[:1] == "0" and LITERAL.fullmatch(text) else None
    return None if literal is None else Number(Fraction(literal[0]))


def _european_number(text: str) -> Number | None:
    if (spaced := SPACED.fullmatch(text)) is not None:
        return _decimal(f"{spaced[1]}{spaced[2].replace(' ', '')}.{spaced[3]}")
    if (groups := EUROPEAN_GROUPS.fullmatch(text)) is not None:
        return _decimal(f"{groups[1]}{groups[2].replace('.', '')}")
    match = EUROPEAN.fullmatch(text)
    return None if match is None else _decimal(f"{match[1]}{match[2].replace('.', '')}.{match[3]}")


def _number_times_word(text: str) -> Number | None:
    """`2.5 million`, `3万`: digits times a word."""
    match = TIMES.fullmatch(text) if text[-1:] in "nd万亿" and text[:1] in "+-.0123456789\\" else None
    factor = _decimal(match[1]) or _fraction(match[1]) if match else None
    return (
        None
        if match is None or factor is None
        else factor.times(Fraction(LARGE[match[2]] if match[2] else CHINESE_LARGE[match[3]]))
    )


def _quotient(sign: str, above: Fraction, below: Fraction) -> Number | None:
    return Number(-above / below if sign == "-" else above / below) if below else None


def _number_in_words(text: str) -> Number | None:
    parts = text.casefold().replace("-", " ").replace(" and ", " ").split()
    sign = -1 if parts[:1] in (["minus"], ["negative"]) else 1
    parts = parts[1:] if sign < 0 else parts
    for tail, rest in (
        (["a", "half"], Fraction(1, 2)),
        (["a", "quarter"], Fraction(1, 4)),
        (["three", "quarters"], Fraction(3, 4)),
    ):
        if (
            parts[-2:] == tail
            and len(parts) > 2
            and "and" in text.casefold()
            and (integer := _number_in_words(" ".join(parts[:-2]))) is not None
        ):
            return Number(sign * (integer.value + rest))
    if parts in (["half"], ["one", "half"], ["a", "half"]):
        return Number(Fraction(sign, 2))
    if parts[-1:] == ["dozen"] and parts[:-1] in (["a"], ["one"], []):
        return Number(Fraction(sign * 12))
    if (
        len(parts) == 2
        and (below := PARTS.get(parts[1].removesuffix("s")))
        and (above := 1 if parts[0] == "a" else SMALL.get(parts[0]))
    ):
        return Number(Fraction(sign * above, below))
    if len(parts) == 2 and (below := FRACTIONS.get(parts[1])) and re.fullmatch(r"\d{1,9}", parts[0]):
        return Number(Fraction(sign * int(parts[0]), below))
    total = current = 0
    for part in parts:
        if part in SMALL:
            current += SMALL[part]
        elif part == "hundred" and current:
            current *= 100
        elif part in LARGE and current:
            total, current = total + current * LARGE[part], 0
        else:
            return None
    return Number(Fraction(sign * (total + current))) if parts else None


def _chinese_number(text: str) -> Number | None:
    negative = text.startswith("负")
    text = text[1:] if negative else text
    if text.startswith("百分之"):
        part = parse_number(text[3:])
        return None if part is None else part.times(Fraction(-1 if negative else 1, 100))
    if not CHINESE_RUN.fullmatch(text):
        return None
    total = section = digit = 0
    for sign in text:
        if sign in CHINESE:
            digit = CHINESE[sign]
        elif sign in CHINESE_UNITS:
            section, digit = section + (digit or 1) * CHINESE_UNITS[sign], 0
        else:
            total, section, digit = (total + section + digit) * CHINESE_LARGE[sign], 0, 0
    value = total + section + digit
    return Number(Fraction(-value if negative else value))
