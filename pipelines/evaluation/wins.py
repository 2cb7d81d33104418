"""Win, tie and lose rates of two policies under a judge that sees every pair of answers in both orders
(dpo_vs_ppo.md 7).

A model that is better in both orders wins; otherwise it is a tie (dpo_vs_ppo.md 9.2.28). A failure of the
judge in either order is an error: counted and left out; too many stop the comparison.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from pipelines.evaluation.assessment_params import WinsParams
from pipelines.evaluation.intervals import mean_of, share_of

AnswerRow = Mapping[str, Any]  # of an assessment: id, sample, prompt, text, and what its graders said
MatchResult = Literal["win", "tie", "lose", "error"]
RESULTS: tuple[MatchResult, ...] = ("win", "tie", "lose")


class JudgeFailed(RuntimeError):
    """The judge failed on more comparisons than allowed."""


class Comparison(NamedTuple):
    """Two answers to one prompt, in the order shown to the judge."""

    first: AnswerRow
    second: AnswerRow


class Vote(NamedTuple):
    """Which answer is better; `reason`: one line of text."""

    better: Literal["first", "second", "tie", "error"]
    reason: str = ""


class PairJudge(Protocol):
    """Compares answers: one vote per comparison, in order. A failure is a vote `error`, never an
    exception.
    """

    @property
    def name(self) -> str: ...

    def vote(self, comparisons: Sequence[Comparison]) -> list[Vote]: ...


def result(vote: Vote, swapped: Vote) -> MatchResult:
    """Returns the first model's result from the votes on (first, second) and on (second, first)."""
    if "error" in (vote.better, swapped.better):
        return "error"
    if (vote.better, swapped.better) == ("first", "second"):
        return "win"
    return "lose" if (vote.better, swapped.better) == ("second", "first") else "tie"


def win_table(
    names: tuple[str, str], pairs: Sequence[Comparison], judge: PairJudge, max_error_share: float
) -> dict[str, Any]:
    """pairs: answers of the first and the second model, a prompt each.

    -> {first, second, judge, prompts, errors, inconsistent, win, tie, lose, percent, net}: shares with
    Wilson's interval, `percent` with one decimal that sum to 100 exactly, `net` the mean of +1, 0, -1 with
    its bootstrap interval, `inconsistent` the ties where the judge named one place in both orders.
    JudgeFailed above `max_error_share` of errors, or when nothing was compared.
    """
    votes = judge.vote(pairs), judge.vote([Comparison(pair.second, pair.first) for pair in pairs])
    results = [result(vote, swapped) for vote, swapped in zip(*votes, strict=True)]
    counts = Counter(results)
    if counts["error"] > max_error_share * len(results) or counts["error"] == len(results):
        reasons = Counter(
            vote.reason for both in zip(*votes, strict=True) for vote in both if vote.better == "error"
        )
        reason, times = reasons.most_common(1)[0] if reasons else ("no prompt was compared", 0)
        nothing = counts["error"] == len(results)
        bound = (
            "so that nothing is left"
            if nothing
            else f"above the limit of {max_error_share:.0%} (wins.max_error_share)"
        )
        raise JudgeFailed(
            f"{names[0]} against {names[1]}: judge {judge.name} failed on {counts['error']} of "
            f"{len(results)} prompts, {bound}; most often "
            f"({times}): {reason}. Take another judge" + ("" if nothing else ", or raise the limit")
        )
    decided = [outcome for outcome in results if outcome != "error"]
    inconsistent = sum(
        vote.better == swapped.better != "tie"
        for vote, swapped in zip(*votes, strict=True)
        if vote.better != "error"
    )
    head = {
        "first": names[0],
        "second": names[1],
        "judge": judge.name,
        "prompts": len(decided),
        "errors": counts["error"],
    }
    shares: dict[str, Any] = {
        name: share_of([float(outcome == name) for outcome in decided]) for name in RESULTS
    }
    net = mean_of([{"win": 1.0, "tie": 0.0, "lose": -1.0}[outcome] for outcome in decided])
    return {
        **head,
        "inconsistent": inconsistent,
        **shares,
        "percent": percentages([counts[name] for name in RESULTS]),
        "net": net,
    }


def win_tables(
    samples: Mapping[str, Sequence[AnswerRow]], judge: PairJudge, settings: WinsParams
) -> dict[str, Any]:
    """Returns {judge, matches: [win_table, ...]}: every match of the settings, from the first answer of each
    assessed model to each prompt.

    ValueError for a match that names a model without samples, or models without a prompt in common.
    """
    first = {name: {row["id"]: row for row in rows if row["sample"] == 0} for name, rows in samples.items()}
    tables = []
    for first_model, second_model in settings.matches:
        for name in (first_model, second_model):
            if name not in first:
                raise ValueError(
                    f"wins.matches names {name}, which was not assessed; known: {', '.join(sorted(first))}"
                )
        shared = [
            Comparison(row, first[second_model][key])
            for key, row in first[first_model].items()
            if key in first[second_model]
        ]
        if not shared:
            raise ValueError(
                f"{first_model} and {second_model} answered no prompt in common; assess both on the same "
                "corpus"
            )
        tables.append(
            win_table(
                (first_model, second_model),
                _spread(shared, settings.prompts),
                judge,
                settings.max_error_share,
            )
        )
    return {"judge": judge.name, "matches": tables}


def _spread(pairs: list[Comparison], limit: int) -> list[Comparison]:
    return [pairs[index * len(pairs) // limit] for index in range(limit)] if 0 < limit < len(pairs) else pairs


def percentages(counts: Sequence[int]) -> list[float]:
    """Returns percentages with one decimal that sum to exactly 100 (largest remainder method)."""
    total = sum(counts)
    tenths = [1000 * count // total for count in counts]
    order = sorted(range(len(counts)), key=lambda place: (-(1000 * counts[place] % total), place))
    for place in order[: 1000 - sum(tenths)]:
        tenths[place] += 1
    return [value / 10 for value in tenths]
