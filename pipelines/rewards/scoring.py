"""Errors of checkers: an exception becomes an error verdict, too many stop the stage, and known answers are
checked first, so that a broken checker does not look like a bad model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean

from pipelines.rewards.verdict import Verdict, applies, error

Check = Callable[..., Verdict]  # (text, answer, finished), and the question where the rule reads it

PARTS = "rewards/"  # before the name of a part among metrics


class CheckerFailed(RuntimeError):
    """Too many verdicts are errors, or known answers are misjudged."""


def verdict_of(check: Check, text: str, answer: str, finished: bool, *question: str) -> Verdict:
    """Returns the checker's verdict; an error verdict that names the exception where it raises."""
    try:
        return check(text, answer, finished, *question)
    except Exception as failure:  # noqa: BLE001 - whatever a checker throws is an error verdict: counted, reported, limited
        return error(f"{type(failure).__name__}: {failure}")


def score(check: Check, answers: Iterable[tuple[str, str, bool]], max_error_share: float) -> list[Verdict]:
    """Returns one verdict per (response text, reference, finished), in order. Raises as
    `limit_errors` does.
    """
    return limit_errors([verdict_of(check, *answer) for answer in answers], max_error_share)


def limit_errors(verdicts: list[Verdict], max_error_share: float) -> list[Verdict]:
    """Returns `verdicts`. Raises CheckerFailed, naming the most frequent reason, where more than
    `max_error_share` (0..1) of them are errors; a reward that does not apply is none.
    """
    failures = [verdict.reason for verdict in verdicts if verdict.outcome == "error" and applies(verdict)]
    if len(failures) > max_error_share * len(verdicts):
        reason, times = Counter(failures).most_common(1)[0]
        raise CheckerFailed(
            f"{len(failures)} of {len(verdicts)} verdicts are errors, above the limit of "
            f"{max_error_share:.0%} (max_error_share); "
            f"most often ({times}): {reason}. Mend the checker or the answers, or raise the limit"
        )
    return verdicts


def part_means(verdicts: Iterable[Verdict]) -> dict[str, float]:
    """Returns {"rewards/NAME": mean} over the verdicts that have a part of this name, sorted."""
    values: dict[str, list[float]] = {}
    for verdict in verdicts:
        for name, value in verdict.parts:
            values.setdefault(f"{PARTS}{name}", []).append(value)
    return {name: fmean(values[name]) for name in sorted(values)}


def preflight(
    check: Check,
    respond: Callable[[str], str],
    problems: Sequence[tuple[str, str]],
    limit: int = 64,
    names: Sequence[str] | None = None,
) -> None:
    """Checks gold answers and answers of other problems before any training. `problems`: (source, answer), of
    which at most 2 `limit` per source are checked; `names`: ids for the message.

    Raises CheckerFailed, naming source, answer and problem, where a gold answer is not right or another
    problem's answer is not wrong.
    """
    by_source: dict[str, list[tuple[str, str]]] = {}
    for (source, answer), name in zip(problems, names or [""] * len(problems), strict=True):
        by_source.setdefault(source, []).append((answer, name))
    for source, answers in by_source.items():
        shown = answers[:: max(1, len(answers) // limit)][:limit]
        for (answer, name), (other, _) in zip(shown, shown[1:] + shown[:1], strict=True):
            where = f"{source} ({name})" if name else source
            verdict = verdict_of(check, respond(answer), answer, True)
            if verdict.outcome != "right":
                raise CheckerFailed(
                    f"the checker calls the gold answer {answer!r} of {where} {verdict.outcome} "
                    f"({verdict.reason})"
                )
            # after a word it would be one word more, which lenient rules allow
            invented = f"{answer}1" if answer[-1:].isdigit() else "1"
            false = other if verdict_of(check, respond(other), answer, True).outcome != "right" else invented
            verdict = verdict_of(check, respond(false), answer, True)
            if verdict.outcome != "wrong":
                raise CheckerFailed(
                    f"the checker calls {false!r} {verdict.outcome} where {where} has {answer!r} "
                    f"({verdict.reason})"
                )
