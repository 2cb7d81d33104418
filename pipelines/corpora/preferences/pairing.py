"""From judged samples of one prompt to pairs: which response wins against which, and why the others are not
used.

The functions are pure, from indices to indices. What is drawn depends on the seed and the question alone.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from pipelines.corpora.cleaning.text import visible_form
from pipelines.corpora.preferences.pairing_params import BestWorst, CodeRule, PairingParams, PassFail

DATASET = -1  # index of the data set's own solution in a pair of the code rule
LONGEST_SOURCE = 20_000  # characters; a longer program is compared as text


@dataclass(frozen=True)
class Judged:
    """A sampled response and its judgement. `ids`: as sampled, EOS included where the model `finished`.
    `score`: on the judge's own scale. `passed`: None where it was not judged (an error of the judge). `safe`
    and `harm` (higher is worse): the result of a safety rule, where there is one.
    """

    text: str
    ids: tuple[int, ...]
    score: float
    passed: bool | None
    finished: bool
    safe: bool | None = None
    harm: float | None = None


def make_pairs(
    question_id: str, judged: Sequence[Judged], params: PairingParams, seed: int, solution: str | None = None
) -> tuple[list[tuple[int, int]], Counter[str]]:
    """Returns pairs of indices (winner, loser), and counts of what was left out. `solution`: the data set's,
    for the code rule, whose winner then has the index DATASET.

    Counts of responses: unjudged, duplicate_text, unfinished_winner, identical_text (fails, but equals one
    that passes; of best_worst it counts prompts). Counts of prompts that give no pair: no_contrast (all pass,
    all fail, or too few responses), small_gap, and for code no_failure and no_solution. `from_dataset` counts
    prompts whose winner is the data set's solution.
    """
    counts = Counter[str]()
    if isinstance(params, BestWorst):
        return _best_worst(judged, params, counts), +counts
    return _passing(question_id, judged, params, seed, solution, counts), +counts


def make_safety_pairs(
    question_id: str, judged: Sequence[Judged], limit: int, seed: int
) -> tuple[list[tuple[int, int, bool | None, bool | None]], Counter[str]]:
    """Returns up to `limit` pairs (first, second, helpful, safer), drawn uniformly, and counts. The labels
    say whether they prefer `first`; None: neither.

    l_h prefers what passed, else the higher score; l_s what is safe, else the smaller harm, else what l_h
    prefers. A pair counts only if the label that decides it (l_h of two safe answers, l_s otherwise) is not
    None. `first` is the one that l_h prefers, or without l_h the one that l_s prefers. Counts: unjudged,
    duplicate_text (responses), no_contrast (prompts without a pair).
    """
    counts = Counter[str]()
    usable = [
        index for index, sample in enumerate(judged) if sample.passed is not None and sample.safe is not None
    ]
    counts["unjudged"] = len(judged) - len(usable)
    usable = _distinct(usable, {index: visible_form(judged[index].text) for index in usable}, counts)
    pairs = []
    for position, first in enumerate(usable):
        for second in usable[position + 1 :]:
            first_sample, second_sample = judged[first], judged[second]
            helpful = _prefers(
                float(bool(first_sample.passed)),
                float(bool(second_sample.passed)),
                first_sample.score,
                second_sample.score,
            )
            safer = _prefers(
                float(bool(first_sample.safe)),
                float(bool(second_sample.safe)),
                -(first_sample.harm or 0.0),
                -(second_sample.harm or 0.0),
            )
            safer = helpful if safer is None else safer
            if (helpful if first_sample.safe and second_sample.safe else safer) is None:
                continue
            pairs.append(
                (first, second, helpful, safer)
                if (safer if helpful is None else helpful)
                else _swapped(first, second, helpful, safer)
            )
    if not pairs:
        counts["no_contrast"] += 1
    return sorted(
        Random(f"safety:{seed}:{question_id}").sample(pairs, min(limit, len(pairs))),
        key=lambda pair: pair[:2],
    ), +counts


def _prefers(first: float, second: float, first_tie_break: float, second_tie_break: float) -> bool | None:
    """Returns whether the first is preferred: by `first` and `second`, where they are equal by the tie
    breaks; None where these are equal too.
    """
    return (
        first > second
        if first != second
        else first_tie_break > second_tie_break
        if first_tie_break != second_tie_break
        else None
    )


def _swapped(
    first: int, second: int, helpful: bool | None, safer: bool | None
) -> tuple[int, int, bool | None, bool | None]:
    """Returns the pair with its responses swapped, and the labels with them."""
    return second, first, None if helpful is None else not helpful, None if safer is None else not safer


def _best_worst(judged: Sequence[Judged], params: BestWorst, counts: Counter[str]) -> list[tuple[int, int]]:
    usable = _judged(judged, counts, by_score=True)
    winners = _finished(judged, usable, params.finished_winner, counts)
    if not winners or len(usable) < 2:
        counts["no_contrast"] += 1
        return []
    best = max(winners, key=lambda index: judged[index].score)  # the first of equals
    worst = min(usable, key=lambda index: judged[index].score)
    if judged[best].score - judged[worst].score <= params.gap:
        counts["small_gap"] += 1
        return []
    if visible_form(judged[best].text) == visible_form(judged[worst].text):
        counts["identical_text"] += 1
        return []
    return [(best, worst)]


def _passing(
    question_id: str,
    judged: Sequence[Judged],
    params: PassFail | CodeRule,
    seed: int,
    solution: str | None,
    counts: Counter[str],
) -> list[tuple[int, int]]:
    form: Callable[[str], str] = normalised_source if isinstance(params, CodeRule) else visible_form
    usable = _judged(judged, counts, by_score=False)
    forms = {index: form(judged[index].text) for index in usable}
    passing = _distinct([index for index in usable if judged[index].passed], forms, counts)
    winners = _finished(judged, passing, params.finished_winner, counts)
    passing_forms = {forms[index] for index in passing}
    failing = [index for index in usable if not judged[index].passed]
    # a text that both passed and failed gives no evidence
    losers = [index for index in failing if forms[index] not in passing_forms]
    counts["identical_text"] += len(failing) - len(losers)
    losers = _distinct(losers, forms, counts)
    if not usable:
        counts["no_contrast"] += 1
        return []
    if isinstance(params, CodeRule):
        if not losers:
            counts["no_failure"] += 1
            return []
        if not passing:
            if solution is None:
                counts["no_solution"] += 1
                return []
            counts["from_dataset"] += 1
            winners = [DATASET]
            losers = [index for index in losers if forms[index] != form(solution)]
    if not winners or not losers:
        counts["no_contrast"] += 1
        return []
    pairs = [(winner, loser) for winner in winners for loser in losers]
    return sorted(Random(f"pairs:{seed}:{question_id}").sample(pairs, min(params.pairs, len(pairs))))


def _judged(judged: Sequence[Judged], counts: Counter[str], by_score: bool) -> list[int]:
    usable = [index for index, sample in enumerate(judged) if by_score or sample.passed is not None]
    if by_score:
        # a NaN is no score
        usable = [index for index in usable if judged[index].score == judged[index].score]
    counts["unjudged"] += len(judged) - len(usable)
    return usable


def _finished(
    judged: Sequence[Judged], indices: list[int], required: bool, counts: Counter[str]
) -> list[int]:
    allowed = [index for index in indices if judged[index].finished or not required]
    counts["unfinished_winner"] += len(indices) - len(allowed)
    return allowed


def _distinct(indices: list[int], forms: dict[int, str], counts: Counter[str]) -> list[int]:
    first_with_form: dict[str, int] = {}
    for index in indices:
        first_with_form.setdefault(forms[index], index)
    counts["duplicate_text"] += len(indices) - len(first_with_form)
    return list(first_with_form.values())


def normalised_source(text: str) -> str:
    """Returns Python source without comments and layout, also of the body of a function that the prompt
    begins; text that does not parse, or is too long, with single spaces only.
    """
    if len(text) <= LONGEST_SOURCE:
        for prefix in ("", "def begun():\n"):
            try:
                return ast.unparse(ast.parse(prefix + text))
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
    return " ".join(text.split())
