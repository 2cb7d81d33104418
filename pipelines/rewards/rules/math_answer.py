"""The equivalence rule: the final answer is compared as text, truth value, time, quantity, list, interval,
equation or formula.

`extraction` finds the final answer. Formulas are compared by math-verify in processes that are killed when
they exceed their limits; its known errors (reward_bridge.md 8.3) are handled around it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache, lru_cache

from pipelines.rewards.answers import symbolic
from pipelines.rewards.answers.answer_text import has_words, normalize, word_tokens
from pipelines.rewards.answers.commitment import ASKS, reason_uncommitted
from pipelines.rewards.answers.equivalence import compare_without_symbolic
from pipelines.rewards.answers.extraction import (
    MARK,
    extract_final_answer,
    extract_reference,
    reason_no_final_answer,
)
from pipelines.rewards.answers.numerals import parse_number
from pipelines.rewards.answers.statements import StatedAnswer
from pipelines.rewards.answers.units import parse_quantity
from pipelines.rewards.answers.workers import AnswerPair, Workers
from pipelines.rewards.verdict import Verdict, error, right, wrong

# symbolic runs in the workers: named here, it is part of every user's code
__all__ = ["check", "check_many", "respond", "symbolic"]
DETERMINISTIC = False  # a formula's verdict may be its time limit's
READS_QUESTION = True  # for the form of a percentage
MAX_REFERENCE = 4000
NOT_A_NUMBER = frozenset(("nan", "inf", "-inf", "null", "none"))
PERCENT = re.compile(r"%|\\%|\bper ?cent|百分", re.I)
PERCENT_SIGN = re.compile(r"\\?%|％|\bper ?cent(?:age)?(?: points?)?\b", re.I)
ITEM = re.compile(r"\s*\d+\.\s+[A-Za-z]")  # `5. Conclude`
CLAUSE = re.compile(r"-?[\d.,/]+ (?:[a-z'’-]+ )+[a-z'’-]+", re.I)  # a number and words behind it
# which are a thing that is counted or measured, no sentence: `5 red apples in each bag`
COUNTED = re.compile(
    r"-?[\d.,/]+ (?:[a-z'’-]+ ){0,3}?(?:[a-z'’-]+s|people|children|men|women|fish|sheep|deer|feet|money|water"
    r"|fruit|square \w+|cubic \w+)"
    r"(?: (?:left|left over|remain|remains|in total|in all|total|altogether|each|"
    r"apart|(?:each|every) [a-z]+|remaining|overall|apiece|long|old|tall|wide|high|deep|away|per [a-z]+|"
    r"an? [a-z]+|of [a-z]+|in [a-z]+|(?:in|for|on|of|from|to|at) (?:the|each|every|an?|all|his|her|their) "
    r"[a-z]+))*",
    re.I,
)
CALCULATION = re.compile(r"[\d\s.,]+(?:[-+*/^]|\\times|\\cdot|\\div)[^=A-Za-z\\]*(?:=[^=]*)+")
TERM = r"-?(?:\d[\d,.]*|\\frac\s*\{\d+\}\s*\{\d+\})(?:\s*\^\s*\{?\d+\}?)?\s*%?"
# `7 + 3`, `0/5/7`
UNEVALUATED = re.compile(rf"{TERM}(?:\s*(?:[-+*/]|\\(?:times|cdot|div)(?![a-z]))\s*{TERM})+")
Asked = tuple[str, str, bool] | tuple[str, str, bool, str]


@cache
def workers() -> Workers:
    """Returns the comparison workers of this process, started at the first formula."""
    return Workers()


def check(text: str, answer: str, finished: bool, question: str = "") -> Verdict:
    """Returns the verdict on the response `text`; `answer` is the reference, `finished` false for a truncated
    response.
    """
    return check_many([(text, answer, finished, question)])[0]


def check_many(responses: Sequence[Asked], pool: Workers | None = None) -> list[Verdict]:
    """Returns one verdict per (response, reference, finished[, question]), in order. Equal pairs are compared
    once; the failure of a pair affects no other.
    """
    verdicts: list[Verdict | None] = []
    asked: dict[AnswerPair, list[int]] = {}
    for place, response in enumerate(responses):
        early = _without_symbolic(*response)
        verdicts.append(early if isinstance(early, Verdict) else None)
        for pair in () if isinstance(early, Verdict) else early:
            asked.setdefault(pair, []).append(place)
    for pair, verdict in zip(asked, (pool or workers()).compare(list(asked)) if asked else [], strict=True):
        for place in asked[pair]:
            before = verdicts[place]
            # of two readings the better, an error before a wrong one
            if before is None or before.outcome == "wrong":
                verdicts[place] = verdict
    return [verdict if verdict is not None else error("not compared") for verdict in verdicts]


def respond(answer: str) -> str:
    """Returns the shortest response that states `answer`, which the preflight scores."""
    return f"{MARK} {extract_reference(answer)}"


def comparison_pairs(answer: str, reference: str, question: str) -> list[AnswerPair]:
    """Returns the (answer, reference) pairs of which one must agree: as written, and without percent signs
    where the question allows it.

    Where the question asks for a percentage, `25\\%`, `25` and `0.25` all agree with `25\\%`; where it does
    not, `25\\%` is only 0.25. Without a question, an answer in percent also agrees with the bare number, but
    a bare answer to a reference in percent must be its value.
    """
    as_written = [(answer, reference)]
    percent = ["%" in text or PERCENT.search(text) is not None for text in (answer, reference)]
    if (
        percent[0] == percent[1]
        or (question and not PERCENT.search(question))
        or (percent[1] and not question)
    ):
        return as_written
    return [*as_written, (PERCENT_SIGN.sub(" ", answer), PERCENT_SIGN.sub(" ", reference))]


def _without_symbolic(
    text: str, answer: str, finished: bool, question: str = ""
) -> Verdict | list[AnswerPair]:
    """Returns a verdict where no symbolic mathematics is needed, else the (answer, reference) pairs of which
    one must agree.
    """
    reference, fault = _usable_reference(answer)
    if fault:
        return error(fault)
    if not finished:
        return wrong("cut off before the end")
    if _is_invalid_unicode(text):
        return error("the response is not valid Unicode")
    stated = extract_final_answer(text)
    if not stated.text:
        return wrong(stated.reason or "no final answer")
    if reason := _reason_no_answer(stated, text, reference):
        return wrong(reason)
    left: list[AnswerPair] = []
    verdict: Verdict | None = None
    for pair in comparison_pairs(stated.text, reference, question):
        verdict = compare_without_symbolic(*pair)
        if verdict is None:
            left.append(pair)
        elif verdict.outcome == "right":
            return right()
    return left or verdict or error("not compared")


def _reason_no_answer(stated: StatedAnswer, text: str, reference: str) -> str:
    """Returns why a last line that nothing calls the answer is none (a question, refusal, guess, plan), or
    "".
    """
    if stated.stated:
        return ""
    if ASKS.search(stated.text) and not ASKS.search(reference):
        return "the answer is asked, not stated"
    if stated.text.rstrip("*_ ").endswith((":", "：")):
        return "the last line announces what does not follow"
    statement = normalize(stated.text)
    if CALCULATION.fullmatch(statement) and "\n" in text.strip():
        return "the last line is a calculation, no answer"
    if (
        UNEVALUATED.fullmatch(statement)
        and parse_number(statement) is None
        and parse_quantity(normalize(reference)) is not None
    ):
        return "the last line is a calculation, no answer"
    if ITEM.match(stated.text) and not ITEM.match(reference):
        return "the last line is an item of a list"
    if (
        CLAUSE.fullmatch(statement)
        and not COUNTED.fullmatch(statement)
        and word_tokens(statement) != word_tokens(normalize(reference))
    ):
        return "the last line is a sentence that begins with a number"
    return (
        reason_uncommitted(stated.text)
        if has_words(statement) and word_tokens(statement) != word_tokens(normalize(reference))
        else ""
    )


@lru_cache(maxsize=4096)
def _usable_reference(answer: str) -> tuple[str, str]:
    """Returns (reference, why it cannot be used or "")."""
    reference = extract_reference(answer).strip()
    return reference, _reference_fault(reference)


def _reference_fault(reference: str) -> str:
    """Returns why the reference cannot be used, or ""."""
    if _is_invalid_unicode(reference):
        return "the reference answer is not valid Unicode"
    if not reference or not any(character.isalnum() or character in "∅\\{}" for character in reference):
        return "the reference answer is empty"
    if reference.casefold() in NOT_A_NUMBER or _is_nan(reference):
        return f"the reference answer is {reference}"
    if len(reference) > MAX_REFERENCE:
        return f"a reference of {len(reference)} characters is no final answer"
    return reason_no_final_answer(reference)


def _is_nan(text: str) -> bool:
    try:
        return math.isnan(float(text[:40]))
    except ValueError:
        return False


def _is_invalid_unicode(text: str) -> bool:
    """Returns whether the text has lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
