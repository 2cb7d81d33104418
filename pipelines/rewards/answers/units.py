"""Quantities: numbers with units, compared in SI base units, so that 5 cm equals 0.05 m and not 5 m.

A small table instead of a units library: answers use some eighty units, and the effort lies in their
spellings (LaTeX, products with spaces, powers of ten that belong to the number). Words that are no unit (`5
apples`) are labels: two labels must be equal, one that is missing is forgiven.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from pipelines.rewards.answers.numerals import Number, parse_number, same_number
from pipelines.rewards.answers.unit_table import (
    CHINESE,
    LONG_PREFIXES,
    NAMES,
    NONE,
    PREFIXES,
    UNITS,
    Dimension,
)

ZERO_CELSIUS = Fraction(27315, 100)
PIECE = re.compile(
    r"(\\mu\s*[A-Za-z]+|\\Omega|\^\\circ\s*C\b|\^\\circ|[A-Za-zÅÅ℃]+"
    r"|[一-鿿]+)\s*(?:\^\s*(?:\{\s*([+-]?\s*\d+)\s*\}|([+-]?\d+))|([²³])|(?<=[A-Za-z])(-?[1-4])(?![\d.]))?"
)
BETWEEN = re.compile(r"\s*(?:\\cdot\b|\*|-(?=[A-Za-z])|[()])?\s*")
AREA = re.compile(r"\b(square|sq\.?|cubic|cu\.?)\s+([A-Za-z]+)|\b([A-Za-z]+)\s+(squared|cubed)\b", re.I)
HEAD = re.compile(
    r"([+-]?\s*(?:\\frac\s*(?:\{\s*\d+\s*\}|\d)\s*(?:\{\s*\d+\s*\}|\d)|(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?"
    r"|\.\d+)(?:\s+\d+\s*/\s*\d+|\s*/\s*\d+)?"
    r"(?:[eE][+-]?\d+|\s*(?:\\times|\\cdot|[*xX])\s*10\s*\^\s*(?:\{\s*[+-]?\s*\d+\s*\}|[+-]?\d+))?"
    r"(?:\s*(?:thousand|million|billion|trillion)\b|[万亿])?(?:\s*%)?)(.*)",
    re.S,
)
LABEL = re.compile(r"[A-Za-z]{3,}(?:[ -][A-Za-z]+){0,3}|[一-鿿]{1,4}")
CHINESE_POWERS = {"平方": 2, "立方": 3}
ANGLED = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
VERB = re.compile(
    r"\b(?:is|are|was|were|be|has|have|had|can|it|we|he|she|they|and|or|to|ish|fails?|works?|holds?|does|do"
    r"|not|no)\b",
    re.I,
)  # what goes on is a sentence, no label
NO_LABEL = re.compile(  # what makes another value of the number, a place or a time of it
    r"\btimes\b(?!\s*$|\s+(?:an?|per|each|every|in|as)\b)|\b(?:more|less|fewer|[a-z]+er) than\b|"
    r"^ ?(?:(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|[a-z]+teen|twenty|thirty"
    r"|forty|fifty|sixty|"
    r"seventy|eighty|ninety|hundred|thousand|and|or|third|half|(?:four|fif|six|seven|eigh|nin|ten)th|halves"
    r"|thirds|"
    r"(?:four|fif|six|seven|eigh|nin|ten)ths)(?![a-z])[ -]?)+$|"
    r"^ ?(?:halves|thirds|(?:four|fif|six|seven|eigh|nin|ten|hundred|thousand|[a-z]+teen)ths)\b|"
    r"^(?:percent|%)? ?(?:more|less|fewer|larger|greater|"
    r"bigger|smaller|higher|lower)$|\bpercent (?:more|less|of|[a-z]+er)\b"
    r"|\b(?:plus|minus|squared|cubed|factorial|over|mod|modulo|fold|divided|multiplied|half|double|twice"
    r"|before|after|ago|until|till|past|"
    r"into|below|above|short|off|too|beyond|from|say|thought|think|guess)\b"
    r"|\b(?:digit|character|letter|word|line|page|sentence|step|place)s? (?:long|away|later|earlier|ahead"
    r"|behind|down|up)\b"
    r"|\b(?:i|we|you|me|us|him|her|them)\b|[的前后多]|以[上下内外]|左右|不到|之间",
    re.I,
)
SAME_LABEL = {
    "元": "yuan",
    "块": "yuan",
    "块钱": "yuan",
    "人民币": "yuan",
    "欧元": "euros",
    "英镑": "pounds",
    "个": "",
    "只": "",
    "人": "",
}
MAX_UNIT = 80
MAX_PIECES = 20


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit with its `factor` to SI base units and its `dimension`, or a `label`, a word that is no unit.
    With neither, the number has no unit.
    """

    factor: Fraction = Fraction(1)
    dimension: Dimension | None = None
    label: str = ""
    celsius: bool = False
    degrees: bool = False


@dataclass(frozen=True, slots=True)
class Quantity:
    number: Number
    unit: Unit

    def in_si(self) -> Number:
        scaled = self.number.times(self.unit.factor)
        return Number(scaled.value + ZERO_CELSIUS, scaled.ulp, scaled.digits) if self.unit.celsius else scaled


def parse_quantity(text: str) -> Quantity | None:
    """Parses normalized `text` as a number with or without a unit; parts of one dimension (`2 h 30 min`) are
    added. None where the whole text is no quantity.
    """
    bare = parse_number(text)
    if bare is not None:
        return Quantity(bare, Unit())
    parts = _split_quantities(text)
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    first = parts[0].unit
    if first.dimension is None or any(
        part.unit.dimension != first.dimension or part.unit.celsius for part in parts
    ):
        return None
    total = sum((part.in_si().value for part in parts), Fraction(0))
    return Quantity(Number(total), Unit(Fraction(1), first.dimension))


def same_quantity(answer: Quantity, reference: Quantity, require_units: bool = False) -> tuple[bool, str]:
    """Returns (whether the quantities are the same, the reason if not). A unit on one side only is forgiven,
    except that `require_units` asks for the reference's.
    """
    ours, theirs = answer.unit, reference.unit
    if ours.dimension is not None and theirs.dimension is not None:
        if ours.dimension != theirs.dimension:
            return False, "another kind of unit"
        return (True, "") if same_number(answer.in_si(), reference.in_si()) else (False, "another quantity")
    if ours.label and theirs.label and _stem(ours.label) != _stem(theirs.label):
        return False, "another thing counted"
    if (ours.label and theirs.dimension) or (ours.dimension and theirs.label):
        return False, "another kind of unit"
    bare = theirs.dimension is not None and ours.dimension is None
    if bare and require_units:
        return False, "no unit"
    if same_number(answer.number, reference.number):
        return True, ""
    return False, "another number"


@lru_cache(maxsize=4096)
def parse_unit(text: str) -> Unit | None:
    """Parses normalized `text` as a unit: products, quotients, powers, `per`, prefixes. None where a part is
    unknown.
    """
    text = (
        AREA.sub(_with_power, text.strip()).replace(" per ", " / ").replace("\\ ", " ").replace("每", " / ")
    )
    if text.startswith("per "):
        text = "/ " + text[4:]
    if not text or len(text) > MAX_UNIT:
        return None
    if text.startswith("\\frac"):
        match = re.fullmatch(r"\\frac\s*\{([^{}]+)\}\s*\{([^{}]+)\}", text)
        if match is None:
            return None
        text = f"{match[1]} / ({match[2]})"
    factor, powers, sign, place, pieces = Fraction(1), list(NONE), 1, 0, 0
    celsius = degrees = False
    while place < len(text):
        rest = text[place:]
        gap = BETWEEN.match(rest)
        if gap and gap.end():
            place += gap.end()
            continue
        if rest[0] == "/":
            sign, place = -1, place + 1
            continue
        match = PIECE.match(rest)
        known = None if match is None else _unit_by_name(re.sub(r"\s+", "", match[1]))
        if match is None or known is None:
            return None
        exponent = next((value for value in (match[2], match[3], match[5]) if value), None) or {
            "²": "2",
            "³": "3",
        }.get(match[4] or "", "1")
        power = sign * int(exponent.replace(" ", ""))
        if abs(power) > 12:
            return None
        factor *= known.factor**power
        powers = [
            sum_so_far + power * added
            for sum_so_far, added in zip(powers, known.dimension or NONE, strict=True)
        ]
        pieces, celsius, degrees = pieces + 1, known.celsius, known.degrees
        place += match.end()
    return (
        Unit(factor, tuple(powers), celsius=celsius and pieces == 1, degrees=degrees and pieces == 1)
        if pieces
        else None
    )


def split_unit(text: str) -> tuple[str, Unit | None]:
    """Returns (value, unit) of a formula that ends with a unit: `6 \\sqrt{3} cm^{2}`; (text, None) where
    there is none.
    """
    places = [match.start() for match in re.finditer(r"(?<=[\d})])\s", text)]
    for place in places[:MAX_PIECES]:
        known = parse_unit(text[place:])
        if known is not None and known.dimension is not None:
            return text[:place].strip(), known
    if text.endswith("^\\circ") and not ANGLED.search(text):
        return text.removesuffix("^\\circ").strip(), _table_unit("deg", 0)
    return text, None


def _split_quantities(text: str) -> list[Quantity] | None:
    parts: list[Quantity] = []
    rest = text.strip()
    while rest:
        match = HEAD.fullmatch(rest)
        value = parse_number(match[1]) if match else None
        if match is None or value is None or len(parts) == 3:
            return None
        tail = match[2]
        following = re.search(r"(?<=[A-Za-z\s])(?=\d)", tail) if "/" not in tail and "^" not in tail else None
        spelled, rest = (tail[: following.start()], tail[following.start() :]) if following else (tail, "")
        spelled = re.sub(r"\s+and\s*$", "", spelled).strip(" ,") if following else spelled.strip(" ,")
        if not tail[:1].isspace() and len(spelled) == 1 and spelled.isascii():
            return None  # 5m may be five times m
        known = parse_unit(spelled)
        if known is None:
            if (
                rest
                or parts
                or not LABEL.fullmatch(spelled)
                or tail.lstrip()[:1] == ","
                or VERB.search(spelled)
                or NO_LABEL.search(spelled)
            ):
                return None
            known = Unit(label=spelled.casefold())
        parts.append(Quantity(value, known))
    return parts


def _with_power(match: re.Match[str]) -> str:
    word = (match[1] or match[4]).casefold()
    return f"{match[2] or match[3]}^{2 if word.startswith('s') else 3}"


def _unit_by_name(name: str) -> Unit | None:
    if name in CHINESE:
        base, power = CHINESE[name]
        return _table_unit(base, power)
    if name[:2] in CHINESE_POWERS and (base_unit := _unit_by_name(name[2:])):
        return _to_power(base_unit, CHINESE_POWERS[name[:2]])
    if name in ("^\\circC", "℃"):
        return _table_unit("degC", 0)
    if name in NAMES:
        return _table_unit(NAMES[name], 0)
    if name.startswith("\\mu"):
        return _prefixed_unit(name[3:], -6)
    for prefix, power in LONG_PREFIXES.items():
        if name.casefold().startswith(prefix):
            return _prefixed_unit(name[len(prefix) :], power)
    for prefix, power in PREFIXES.items():
        if name.startswith(prefix) and (prefixed_unit := _prefixed_unit(name[len(prefix) :], power)):
            return prefixed_unit
    folded = name.casefold()
    if len(name) > 2 and folded in NAMES:
        return _table_unit(NAMES[folded], 0)
    return _prefixed_unit(name[1:], 3) if name.startswith("K") else None  # KJ


def _to_power(unit: Unit, power: int) -> Unit:
    return Unit(unit.factor**power, tuple(power * exponent for exponent in unit.dimension or NONE))


def _prefixed_unit(name: str, power: int) -> Unit | None:
    base = NAMES.get(name)
    return _table_unit(base, power) if base is not None and UNITS[base][2] else None


def _table_unit(base: str, power: int) -> Unit:
    factor, dimension, _ = UNITS[base]
    return Unit(factor * Fraction(10) ** power, dimension, celsius=base == "degC", degrees=base == "deg")


def _stem(label: str) -> str:
    label = SAME_LABEL.get(label, label)
    return label.removesuffix("s").removesuffix("e")
