"""The one value that a sentence says: `She has 12 apples`, `so x = 5`. What negates, hedges or contradicts
itself says none.
"""

from __future__ import annotations

import re

from pipelines.rewards.answers import units
from pipelines.rewards.answers.answer_text import wordy
from pipelines.rewards.answers.clock import Clock, clock
from pipelines.rewards.answers.commitment import CONCLUDING, GUESSES, REFUSES
from pipelines.rewards.answers.numerals import Number, same, with_decimal_comma
from pipelines.rewards.answers.structure import chain, constant, equation, split_any, unsolved

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


def with_comma(ours: str, reference: units.Quantity) -> units.Quantity | None:
    """`3,5` where the reference is a decimal: elsewhere it is a list of two."""
    decimal = with_decimal_comma(ours) if reference.number.ulp is not None else None
    return None if decimal is None else units.Quantity(decimal, units.Unit())


def time_in(ours: str) -> Clock | None:
    """The only time of day of a sentence that holds no other number."""
    match = SAID_TIME.search(ours) if _affirms(ours) else None
    return clock(match[1]) if match and not re.search(r"\d", ours[: match.start(1)]) else None


def _affirms(ours: str) -> bool:
    """Whether it is a sentence that neither negates nor hedges."""
    folded = ours.casefold()
    return wordy(ours) and not (
        NEGATION.search(folded) or GUESSES.search(folded) or REFUSES.search(folded) or "\\ldots" in ours
    )


def quantity_in(ours: str, reference: units.Quantity) -> units.Quantity | None:
    """The one quantity of a sentence: what follows its last verb or `=`, else its only number. None where it
    negates, hedges or contradicts itself.
    """
    if not _affirms(ours):
        return None
    # 7 (seven)
    if (restated := RESTATED.fullmatch(ours)) and (inner := units.quantity(restated[2])) is not None:
        outer = units.quantity(restated[1])
        return outer if outer is not None and _same(inner.number, outer.number) else None
    ours = LEFT.sub("", ADVERBS.sub("", ours))
    clause = CLAUSE.match(ours)
    said = ours[clause.end() :] if clause else ""
    quantity = units.quantity(said) or with_comma(said, reference) or _with_tail(said)
    if quantity is not None:
        return quantity if _of_one_value(ours, quantity) else None
    starts = STARTS.match(ours)
    return units.quantity(OF_THEM.sub("", ours[starts.end() :] if starts else ours))


def _with_tail(said: str) -> units.Quantity | None:
    """`18 every day at the market`, `12 apples left`: a quantity, and behind it a few words without a verb or
    another number.
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
    known = [units.quantity(" ".join([match[1], *behind[:count]])) for count in (2, 1)]
    return next(
        (quantity for quantity in known if quantity is not None and quantity.unit.dimension is not None),
        units.quantity(match[1]),
    )


def _of_one_value(ours: str, quantity: units.Quantity) -> bool:
    """Whether what stands before the value of a sentence, linked to it or listed with it, is no other
    value.
    """
    *others, last = split_any(ours)
    head, equals, _ = last.partition("=")
    if equation(chain(last)):
        return False
    for member in chain(ours)[:-1]:
        known = units.quantity(member)
        if (
            known is None
            and not wordy(member)
            and constant(member)
            and not re.search(r"\d\s*[-+*/^]|\\(?:times|cdot|frac|div)", member)
        ) or (known is not None and not _equal(known, quantity)):
            return False
    # a list (of boxes, or that ends with `x = 6`) and no sentence
    if " , " in ours or (equals and not wordy(head)):
        return all(_no_member(part, quantity) for part in others)
    return all(wordy(part) or not re.search(r"\d", part) or "=" in part for part in others)


def _no_member(part: str, quantity: units.Quantity) -> bool:
    """Whether a part of a list holds no value, is a clause, or has the value `found`."""
    head, equals, said = part.rpartition("=")
    if not re.search(r"\d", part) or CLAUSAL.search(part) or (equals and unsolved(head)):
        return True
    known = units.quantity(said.strip())
    return known is not None and _equal(known, quantity)


def _equal(left: units.Quantity, right: units.Quantity) -> bool:
    return _same(left.number, right.number) or units.agree(left, right)[0]


def _same(left: Number, right: Number) -> bool:
    return same(left, right) or same(right, left)
