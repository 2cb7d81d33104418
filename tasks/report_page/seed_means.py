"""Accuracies of runs that differ in their seed, as one: their mean with Student's interval."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from pipelines.evaluation.over_seeds import mean_over_seeds
from tasks.report_page.comparison import Accuracy


def mean_accuracy(measured: Sequence[Accuracy | None]) -> Accuracy | None:
    """Returns the mean of several accuracies, each question's over the runs that all answered it; one alone
    as it is, None where none counted anything.
    """
    counted = [one for one in measured if one is not None and one.share is not None]
    if len(counted) < 2:
        return counted[0] if counted else next(iter(measured), None)
    mean = mean_over_seeds([one.share for one in counted if one.share is not None])
    common = [key for key in counted[0].answers if all(key in one.answers for one in counted)]
    return Accuracy(
        n=sum(one.n for one in counted),
        right=sum(one.right for one in counted),
        errors=sum(one.errors for one in counted),
        share=mean.value,
        low=None if mean.low is None else max(0.0, mean.low),
        high=None if mean.high is None else min(1.0, mean.high),
        answers={key: fmean(one.answers[key] for one in counted) for key in common},
    )
