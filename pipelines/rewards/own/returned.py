"""What a reward function returned, as a verdict; what is none of the accepted types is an error."""

from __future__ import annotations

import math
import traceback
from typing import Any, get_args

from pipelines.rewards.verdict import NOT_APPLICABLE, Verdict, VerdictOutcome, error
from pipelines.seams import ROOT

LONGEST = 300  # characters of a reason
OUTCOMES = get_args(VerdictOutcome)


def verdict_of_value(value: Any, threshold: float) -> Verdict:
    """Returns the verdict that a function's answer for one response means: true and false are right and
    wrong, a number above `threshold` is right, None does not apply. Never raises.
    """
    if value is None:
        return error(NOT_APPLICABLE)
    if isinstance(value, Verdict):
        return _checked(value)
    if not isinstance(value, (bool, int, float)) and hasattr(value, "item"):  # a scalar of NumPy or torch
        try:
            value = value.item()
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is no number
            return error(last_line(failure))
    if isinstance(value, bool):
        return Verdict("right", 1.0) if value else Verdict("wrong", 0.0)
    if not isinstance(value, (int, float)):
        return error(f"the function gave {value!r:.60}, and not a number, true, false, None or a Verdict")
    if not math.isfinite(value):
        return error(f"the function gave {value}, which no policy can learn from")
    return Verdict("right" if value > threshold else "wrong", float(value))


def listed(value: Any, count: int) -> list[Any]:
    """Returns the `count` answers of a function that takes lists. Raises ValueError for anything else."""
    if hasattr(value, "tolist"):  # an array of NumPy or torch
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"the function gave {value!r:.60}, and not a list with a reward for each completion")
    if len(value) != count:
        raise ValueError(f"the function gave {len(value)} rewards for {count} completions")
    return list(value)


def last_line(failure: BaseException) -> str:
    """Returns the last line of a traceback, and the last place in the project's files that it went
    through.
    """
    text = " ".join(str(failure).split())[:LONGEST]
    inside = [
        frame
        for frame in traceback.extract_tb(failure.__traceback__)
        if frame.filename.startswith(f"{ROOT}/") and "/rewards/own/" not in frame.filename
    ]
    place = f" ({inside[-1].filename.removeprefix(f'{ROOT}/')}:{inside[-1].lineno})" if inside else ""
    return f"{type(failure).__name__}: {text}{place}" if text else f"{type(failure).__name__}{place}"


def _checked(verdict: Verdict) -> Verdict:
    """Returns the user's verdict with its types as they must be, or an error."""
    try:
        outcome, score = verdict.outcome, float(verdict.score)
        parts = tuple((str(name), float(value)) for name, value in verdict.parts)
    except (TypeError, ValueError) as failure:
        return error(f"the function gave a Verdict that is none: {failure}")
    if outcome not in OUTCOMES or not math.isfinite(score):
        return error(f"the function gave a Verdict of outcome {outcome!r} and score {score}")
    return Verdict(outcome, score, " ".join(str(verdict.reason).split())[:LONGEST], parts)
