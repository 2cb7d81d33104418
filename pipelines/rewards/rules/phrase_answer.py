"""The exact checker of the embedded multi-subject set, whose references are phrases of five forms.

A closed grammar of ways to state them: any other text is wrong, also with a negation, a hedge or one word too
many, so that labels are exact. Rules that compare words cannot tell `Ben gives it to Eva` from `Eva gives it
to Ben`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pipelines.rewards.answers.extraction import MARK, last_line
from pipelines.rewards.answers.numerals import parse_number
from pipelines.rewards.verdict import Verdict, error, right, wrong

MeaningKind = Literal["holder", "order", "amount", "rule", "both"]
MAX_LENGTH = 300
HOLDER = re.compile(r"(\w+) has the (\w+)")
ORDER = re.compile(r"first the (\w+)((?:, then the \w+)+)")
RULE = re.compile(r"(yes|no), (\w+) are (not )?allowed there")
BOTH = re.compile(r"both need (\w+(?:, \w+)*)(?: and (\w+))?")
AMOUNT = re.compile(r"([a-z]+(?:-[a-z]+)?) ([a-z]+)")
HOLDER_FORMS = (
    r"{n}", r"(?:it is|now) {n}", r"{n} (?:now )?(?:has|holds) (?:it|the {t})", r"{n} has the {t} now",
    r"(?:the {t}|it) is (?:now )?with {n}",
    r"(?:the {t}|it) (?:now )?belongs to {n}", r"it is {n} who has (?:it|the {t})",
    r"the one who has (?:it|the {t}) is {n}",
)  # fmt: skip
YES_FORMS = (
    r"yes",
    r"(?:yes,? )?(?:{d}|they|these|it|that) (?:are|is) allowed(?: there)?",
    r"yes,? (?:he|she|they) may",
    r"allowed",
)
NO_FORMS = (
    r"no", r"(?:no,? )?(?:{d}|they|these|it|that) (?:are|is) (?:not allowed|forbidden)(?: there)?",
    r"no,? (?:he|she|they) may not",
    r"(?:not allowed|forbidden)",
)  # fmt: skip
AMOUNT_FORM = re.compile(
    r"(?:(?:it|that|the price|the cost|the total) (?:is|costs) )?([a-z0-9]+(?:[- ][a-z]+)?)(?: ([a-z]+))?"
)
ORDER_FILLERS = frozenset(["the", "first", "then", "and", "next", "finally", "last", "came", "comes"])
BOTH_FILLERS = frozenset(
    ["both", "need", "needs", "they", "and", "are", "is", "needed", "by", "all", "of", "them"]
)


@dataclass(frozen=True)
class Meaning:
    """The meaning of a reference. `values` by kind: holder (name, thing); order: things, first to last;
    amount (number, unit); rule (yes | no, animals); both: needs, sorted.
    """

    kind: MeaningKind
    values: tuple[str, ...]


def parse_reference(reference: str) -> Meaning | None:
    """Parses a reference; None for text of no known form."""
    text = reference.strip().rstrip(".")
    if match := HOLDER.fullmatch(text):
        return Meaning("holder", (match[1], match[2]))
    if match := ORDER.fullmatch(text):
        return Meaning("order", (match[1], *re.findall(r", then the (\w+)", match[2])))
    if match := RULE.fullmatch(text):
        return Meaning("rule", (match[1], match[2])) if (match[1] == "no") == bool(match[3]) else None
    if match := BOTH.fullmatch(text):
        return Meaning("both", tuple(sorted([*match[1].split(", "), *filter(None, [match[2]])])))
    if (match := AMOUNT.fullmatch(text)) and (value := parse_number(match[1])) is not None:
        return Meaning("amount", (str(value.value), match[2]))
    return None


def states(statement: str, meant: Meaning) -> bool:
    """Returns whether the final answer `statement` states exactly this meaning."""
    text = re.sub(r"\s+", " ", statement.strip().rstrip(".!").strip().casefold())
    if (
        not text
        or len(text) > MAX_LENGTH
        or "?" in statement
        or "？" in statement
        or "..." in statement
        or "…" in statement
    ):
        return False
    values = [value.casefold() for value in meant.values]
    if meant.kind == "holder":
        return _matches_any(HOLDER_FORMS, text, n=values[0], t=values[1])
    if meant.kind == "rule":
        return _matches_any(YES_FORMS if values[0] == "yes" else NO_FORMS, text, d=values[1])
    if meant.kind == "amount":
        return _states_amount(text, *values)
    words = re.findall(r"[\w-]+", text)
    if meant.kind == "both":
        return sorted(word for word in words if word not in BOTH_FILLERS) == values
    return _states_order([word for word in words if word not in ORDER_FILLERS], text, values)


def matches(question: str, reference: str, response: str) -> bool:
    """Returns whether `response` states exactly what `reference` does. Raises ValueError for a reference of
    no known form. `question` is part of the interface and not used.
    """
    meant = parse_reference(reference)
    if meant is None:
        raise ValueError(
            f"the reference {reference[:60]!r} has none of the forms that the exact checker reads"
        )
    return states(_final_answer(response), meant)


def check(text: str, answer: str, finished: bool) -> Verdict:
    """Returns the verdict on the response `text`; `answer` is the reference, `finished` false for a truncated
    response.
    """
    meant = parse_reference(answer)
    if meant is None:
        return error(f"the reference {answer[:40]!r} has none of the known forms")
    if not finished:
        return wrong("cut off before the end")
    stated = _final_answer(text)
    if not stated:
        return wrong("no final answer")
    return right() if states(stated, meant) else wrong(f"answered {stated[:40]!r}")


def respond(answer: str) -> str:
    """Returns the shortest response that states `answer`."""
    return f"{MARK} {answer}"


def _final_answer(response: str) -> str:
    """Returns the text after the single `####`, else the last line; "" with several marks."""
    marks = response.count(MARK)
    if marks > 1:
        return ""
    return response.partition(MARK)[2].strip() if marks else last_line(response)


def _matches_any(forms: tuple[str, ...], text: str, **values: str) -> bool:
    return any(
        re.fullmatch(form.format(**{name: re.escape(value) for name, value in values.items()}), text)
        for form in forms
    )


def _states_amount(text: str, value: str, unit: str) -> bool:
    match = AMOUNT_FORM.fullmatch(text)
    if match is None:
        return False
    # `forty two` is one number
    for spelled, counted in ((match[1], match[2]), (" ".join(filter(None, match.groups())), None)):
        read = parse_number(spelled)
        if read is not None and str(read.value) == value and counted in (None, unit):
            return True
    parts = match[1].rsplit(" ", 1)  # `twelve coins` without more
    read = parse_number(parts[0])
    return (
        len(parts) == 2
        and match[2] is None
        and read is not None
        and str(read.value) == value
        and parts[1] == unit
    )


def _states_order(words: list[str], text: str, values: list[str]) -> bool:
    links = [word for word in words if word in ("before", "after")]
    items = [word for word in words if word not in ("before", "after")]
    if not links:
        return items == values
    if (
        len(set(links)) > 1
        or len(links) != len(items) - 1
        or words[1::2] != links
        or re.search(r"\b(?:first|then|last|finally|next)\b", text)
    ):
        return False
    return items == (values if links[0] == "before" else values[::-1])
