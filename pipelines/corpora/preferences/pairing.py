"""From judged samples of one prompt to pairs: which response wins against which, and why the others are not
used.

Pure: indices in, indices out. The draw depends on the seed and the question alone.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from pipelines.corpora.cleaning.text import visible
from pipelines.corpora.preferences.pairing_params import BestWorst, CodeRule, PairingParams, PassFail

DATASET = -1  # index of the data set's own solution in a pair of the code rule
LONGEST_SOURCE = 20_000  # characters; a longer program is compared as text


@dataclass(frozen=True)
class Judged:
    """A sampled response and its judgement. `ids` are as sampled, EOS included where the model `finished`;
    `score` is the judge's own scale; `passed` None: not judged (an error of the judge). `safe` and `harm`
    (higher is worse) where a safety rule looked too.
    """

    text: str
    ids: tuple[int, ...]
    score: float
    passed: bool | None
    finished: bool
    safe: bool | None = None
    harm: float | None = None


def make_pairs(
    question_id: str, judged: Sequence[Judged], how: PairingParams, seed: int, solution: str | None = None
) -> tuple[list[tuple[int, int]], Counter[str]]:
    """Pairs of indices (winner, loser), and counts of what was left out. `solution`: the data set's, for the
    code rule, whose winner then has the index DATASET.

    Counts of responses: unjudged, duplicate_text, unfinished_winner, identical_text (fails, but equals one
    that passes; of best_worst it counts prompts). Counts of prompts that give no pair: no_contrast (all pass,
    all fail, or too few responses), small_gap, and for code no_failure and no_solution. `from_dataset` counts
    prompts whose winner is the data set's solution.
    """
    counts = Counter[str]()
    if isinstance(how, BestWorst):
        return _best_worst(judged, how, counts), +counts
    return _passing(question_id, judged, how, seed, solution, counts), +counts


def make_safety_pairs(
    question_id: str, judged: Sequence[Judged], limit: int, seed: int
) -> tuple[list[tuple[int, int, bool | None, bool | None]], Counter[str]]:
    """Up to `limit` pairs (first, second, helpful, safer), drawn uniformly; the labels say whether they
    prefer `first`, None: neither.

    l_h prefers what passed, else the higher score; l_s what is safe, else the smaller harm, else what l_h
    prefers. A pair counts only if the label that decides it (l_h of two safe answers, l_s elsewhere) is not
    None. `first` is what l_h prefers, or without it l_s.
    Counts: unjudged, duplicate_text (responses), no_contrast (prompts without a pair).
    """
    counts = Counter[str]()
    usable = [place for place, one in enumerate(judged) if one.passed is not None and one.safe is not None]
    counts["unjudged"] = len(judged) - len(usable)
    usable = _distinct(usable, {place: visible(judged[place].text) for place in usable}, counts)
    found = []
    for at, one in enumerate(usable):
        for other in usable[at + 1 :]:
            a, b = judged[one], judged[other]
            helpful = _prefers(float(bool(a.passed)), float(bool(b.passed)), a.score, b.score)
            safer = _prefers(float(bool(a.safe)), float(bool(b.safe)), -(a.harm or 0.0), -(b.harm or 0.0))
            safer = helpful if safer is None else safer
            if (helpful if a.safe and b.safe else safer) is None:
                continue
            found.append(
                (one, other, helpful, safer)
                if (safer if helpful is None else helpful)
                else _turned(one, other, helpful, safer)
            )
    if not found:
        counts["no_contrast"] += 1
    return sorted(
        Random(f"safety:{seed}:{question_id}").sample(found, min(limit, len(found))),
        key=lambda pair: pair[:2],
    ), +counts


def _prefers(a: float, b: float, then_a: float, then_b: float) -> bool | None:
    """Whether the first is preferred: by a and b, where they are equal by the other two; None where all are
    equal.
    """
    return a > b if a != b else then_a > then_b if then_a != then_b else None


def _turned(
    one: int, other: int, helpful: bool | None, safer: bool | None
) -> tuple[int, int, bool | None, bool | None]:
    return other, one, None if helpful is None else not helpful, None if safer is None else not safer


def _best_worst(judged: Sequence[Judged], how: BestWorst, counts: Counter[str]) -> list[tuple[int, int]]:
    usable = _judged(judged, counts, by_score=True)
    winners = _finished(judged, usable, how.finished_winner, counts)
    if not winners or len(usable) < 2:
        counts["no_contrast"] += 1
        return []
    best = max(winners, key=lambda place: judged[place].score)  # the first of equals
    worst = min(usable, key=lambda place: judged[place].score)
    if judged[best].score - judged[worst].score <= how.gap:
        counts["small_gap"] += 1
        return []
    if visible(judged[best].text) == visible(judged[worst].text):
        counts["identical_text"] += 1
        return []
    return [(best, worst)]


def _passing(
    question_id: str,
    judged: Sequence[Judged],
    how: PassFail | CodeRule,
    seed: int,
    solution: str | None,
    counts: Counter[str],
) -> list[tuple[int, int]]:
    form: Callable[[str], str] = normal_source if isinstance(how, CodeRule) else visible
    usable = _judged(judged, counts, by_score=False)
    forms = {place: form(judged[place].text) for place in usable}
    passing = _distinct([place for place in usable if judged[place].passed], forms, counts)
    winners = _finished(judged, passing, how.finished_winner, counts)
    won = {forms[place] for place in passing}
    failing = [place for place in usable if not judged[place].passed]
    # a text that both passed and failed proves nothing
    losers = [place for place in failing if forms[place] not in won]
    counts["identical_text"] += len(failing) - len(losers)
    losers = _distinct(losers, forms, counts)
    if not usable:
        counts["no_contrast"] += 1
        return []
    if isinstance(how, CodeRule):
        if not losers:
            counts["no_failure"] += 1
            return []
        if not passing:
            if solution is None:
                counts["no_solution"] += 1
                return []
            counts["from_dataset"] += 1
            winners = [DATASET]
            losers = [place for place in losers if forms[place] != form(solution)]
    if not winners or not losers:
        counts["no_contrast"] += 1
        return []
    everything = [(winner, loser) for winner in winners for loser in losers]
    return sorted(Random(f"pairs:{seed}:{question_id}").sample(everything, min(how.pairs, len(everything))))


def _judged(judged: Sequence[Judged], counts: Counter[str], by_score: bool) -> list[int]:
    usable = [place for place, one in enumerate(judged) if by_score or one.passed is not None]
    if by_score:
        # a NaN is no score
        usable = [place for place in usable if judged[place].score == judged[place].score]
    counts["unjudged"] += len(judged) - len(usable)
    return usable


def _finished(judged: Sequence[Judged], places: list[int], wanted: bool, counts: Counter[str]) -> list[int]:
    kept = [place for place in places if judged[place].finished or not wanted]
    counts["unfinished_winner"] += len(places) - len(kept)
    return kept


def _distinct(places: list[int], forms: dict[int, str], counts: Counter[str]) -> list[int]:
    first: dict[str, int] = {}
    for place in places:
        first.setdefault(forms[place], place)
    counts["duplicate_text"] += len(places) - len(first)
    return list(first.values())


def normal_source(text: str) -> str:
    """Python source without comments and layout, also the body of a function that the prompt begins; text
    that does not parse, or is too long to try, with single spaces only.
    """
    if len(text) <= LONGEST_SOURCE:
        for begun in ("", "def begun():\n"):
            try:
                return ast.unparse(ast.parse(begun + text))
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
    return " ".join(text.split())
