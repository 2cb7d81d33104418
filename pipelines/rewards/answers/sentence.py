"""Extracts the single value that a sentence states: `She has 12 apples`, `so x = 5`. A sentence that negates,
hedges or contradicts itself states none.
"""

from __future__ import annotations

import re

from pipelines.rewards.answers import units
from pipelines.rewards.answers.answer_text import has_words
from pipelines.rewards.answers.clock import TimeOfDay, parse_time
from pipelines.rewards.answers.commitment import CONCLUDING, GUESSES, REFUSES
from pipelines.rewards.answers.numerals import Number, parse_decimal_comma, same_number
from pipelines.rewards.answers.structure import (
    is_constant,
    is_unsolved,
    is_unsolved_equation,
    split_chain,
    split_list,
)

CLAUSE = re.compile(
    rf".*{CONCLUDING}\s*(?:(?:only|just|exactly|approximately|now|also|a total of|altogether|that|then|an?|"
    rf"the|each|总共|一共|至|到)\s+)*",
    re.I,
)
TAILED = re.compile(r"(-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?%?)((?: [A-Za-z'’-]+){1,7})")
GOES_ON = re.compile(
    r"\b(?:which|that|who|but|if|when|where|while|then|so|because|since|minus|plus|times|divided|on both"
    r"|possibility|case)\b",
    re.I,
)
ADVERBS = re.compile(r"(?: (?:left|in total|in all|altogether|remaining|now|overall))+$", re.I)
STARTS = re.compile(
    r"(?:(?:that|it is|it's|exactly|only|just|simply|indeed|clearly|obviously|precisely|"
    r"approximately|a total of|also|therefore|thus|so|hence|"
    r"then)\b[,:]?\s*)+",
    re.I,
)
# a verb's place, but not one here
LEFT = re.compile(r"\s+(?:left(?: over)?|in (?:total|all)|altogether|total|overall)[\s.]*$", re.I)
OF_THEM = re.compile(r"\s+of (?:them|it|all|(?:the|these|those|all) [a-z]+)$", re.I)
RESTATED = re.compile(r"(.*\S)\s*\(([^()]+)\)")
NEGATION = re.compile(
    r"\b(?:not|no|never|neither|nor|or|without|cannot|isn't|aren't|wasn't|doesn't|don't|either|less|more|"
    r"fewer|greater|about|between|least|most|close|closer|near|nearly|almost|possible|impossible|except|"
    r"wrong|incorrect|versus|vs|than|over|under|around|roughly|rather|nothing|none|unlike|far|nowhere|used to"
    r"|what|"
    r"how|why)\b|[?!]|不|非|没|或|超过|大约|左右|至少|最多"
)
CLAUSAL = re.compile(  # a part with a verb or a connective is a clause of the sentence, no member of a list
    r"\b(?:is|are|was|were|has|have|had|gets?|gives?|costs?|since|as|when|where|with|for|if|so|then|because"
    r"|given|let)\b",
    re.I,
)
SAID_TIME = re.compile(
    rf"(?:{CONCLUDING}|\bat|\buntil)\s*(\d{{1,2}}:\d{{2}}(?:\s*[ap]\.?\s?m\b\.?)?"
    rf"|\d{{1,2}}\s*[ap]\.?\s?m\b\.?)$",
    re.I,
)


def parse_decimal_comma_quantity(ours: str, reference: units.Quantity) -> units.Quantity | None:
    """Parses `3,5` as a decimal where the reference is one; otherwise it is a list of two, and None is
    returned.
    """
    decimal = parse_decimal_comma(ours) if reference.number.ulp is not None else None
    return None if decimal is None else units.Quantity(decimal, units.Unit())


def time_in_sentence(ours: str) -> TimeOfDay | None:
    """Returns the time of day in a sentence without any other number."""
    match = SAID_TIME.search(ours) if _is_affirmative(ours) else None
    return parse_time(match[1]) if match and not re.search(r"\d", ours[: match.start(1)]) else None


def _is_affirmative(ours: str) -> bool:
    """Returns whether the text has words and neither negates nor hedges."""
    folded = ours.casefold()
    return has_words(ours) and not (
        NEGATION.search(folded) or GUESSES.search(folded) or REFUSES.search(folded) or "\\ldots" in ours
    )


def quantity_in_sentence(ours: str, reference: units.Quantity) -> units.Quantity | None:
    """Returns the single quantity of a sentence: after its last verb or `=`, else its only number. None where
    the sentence negates, hedges or contradicts itself.
    """
    if not _is_affirmative(ours):
        return None
    # 7 (seven)
    if (restated := RESTATED.fullmatch(ours)) and (inner := units.parse_quantity(restated[2])) is not None:
        outer = units.parse_quantity(restated[1])
        return outer if outer is not None and _same_number(inner.number, outer.number) else None
    ours = LEFT.sub("", ADVERBS.sub("", ours))
    clause = CLAUSE.match(ours)
    said = ours[clause.end() :] if clause else ""
    quantity = (
        units.parse_quantity(said)
        or parse_decimal_comma_quantity(said, reference)
        or _quantity_with_words(said)
    )
    if quantity is not None:
        return quantity if _has_one_value(ours, quantity) else None
    starts = STARTS.match(ours)
    return units.parse_quantity(OF_THEM.sub("", ours[starts.end() :] if starts else ours))


def _quantity_with_words(said: str) -> units.Quantity | None:
    """Parses a quantity with a few words after it, none of them a verb or a number: `18 every day at the
    market`, `12 apples left`.
    """
    match = TAILED.fullmatch(said)
    if (
        match is None
        or units.VERB.search(match[2])
        or GOES_ON.search(match[2])
        or units.NO_LABEL.search(match[2])
    ):
        return None
    behind = match[2].split()
    known = [units.parse_quantity(" ".join([match[1], *behind[:count]])) for count in (2, 1)]
    return next(
        (quantity for quantity in known if quantity is not None and quantity.unit.dimension is not None),
        units.parse_quantity(match[1]),
    )


def _has_one_value(ours: str, quantity: units.Quantity) -> bool:
    """Returns whether nothing that a sentence links to its value or lists with it is another value."""
    *others, last = split_list(ours)
    head, equals, _ = last.partition("=")
    if is_unsolved_equation(split_chain(last)):
        return False
    for member in split_chain(ours)[:-1]:
        known = units.parse_quantity(member)
        if (
            known is None
            and not has_words(member)
            and is_constant(member)
            and not re.search(r"\d\s*[-+*/^]|\\(?:times|cdot|frac|div)", member)
        ) or (known is not None and not _same_quantity(known, quantity)):
            return False
    # a list (of boxes, or that ends with `x = 6`) and no sentence
    if " , " in ours or (equals and not has_words(head)):
        return all(_adds_no_value(part, quantity) for part in others)
    return all(has_words(part) or not re.search(r"\d", part) or "=" in part for part in others)


def _adds_no_value(part: str, quantity: units.Quantity) -> bool:
    """Returns whether a part of a list has no value, is a clause, or has the value `quantity`."""
    head, equals, said = part.rpartition("=")
    if not re.search(r"\d", part) or CLAUSAL.search(part) or (equals and is_unsolved(head)):
        return True
    known = units.parse_quantity(said.strip())
    return known is not None and _same_quantity(known, quantity)


def _same_quantity(left: units.Quantity, right: units.Quantity) -> bool:
    return _same_number(left.number, right.number) or units.same_quantity(left, right)[0]


def _same_number(left: Number, right: Number) -> bool:
    return same_number(left, right) or same_number(right, left)
