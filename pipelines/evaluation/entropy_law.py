"""The entropy law R = -a exp(H) + b: accuracy is bought with entropy, and b - a is what is left to buy at H =
0 (arXiv 2505.22617).

H is a policy's mean token entropy in nats at the sampling temperature, R its validation accuracy as a share,
0..1 (entropy.md 4.2 to 4.5). The law holds for runs in which nothing acts on the entropy: fitted to Clip-Cov,
KL-Cov or an entropy bonus it says nothing. It maps an observed entropy to an accuracy; it does not forecast
the entropy.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pipelines.objectives.portion import portion_up

FEWEST = 3  # two points lie on every curve of two coefficients, so they can say nothing for it or against it
WINDOW = 4  # iterations; those of the paper's rollouts between two validations (entropy.md U13)
FIT_FRACTION = 0.15  # the paper's 36 of 236 steps, whose unit it does not say (entropy.md U14)
EQUAL = 1e-9  # relative spread of x below which its slope would be one of rounding errors
Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Law:
    """A fit to `n` pairs: `rmse` in units of R, over n; `r2` is NaN where all R are equal, for there is
    nothing to explain.
    """

    a: float
    b: float
    r2: float
    rmse: float
    n: int

    @property
    def ceiling(self) -> float:
        """R at H = 0: what the law gives a policy that has no entropy left."""
        return self.b - self.a


@dataclass(frozen=True)
class Forecast:
    """A law from the first `law.n` pairs and its errors on the others, in units of R: `rmse`, and
    `final_error`, absolute, on the last.
    """

    law: Law
    predicted: Array
    rmse: float
    final_error: float


@dataclass(frozen=True)
class SizeLaw:
    """A coefficient of the law by model size: slope ln N + intercept, N in billions of non-embedding
    parameters (entropy.md 4.5).
    """

    slope: float
    intercept: float

    def at(self, size: float) -> float:
        """Returns the coefficient at `size` billions, > 0."""
        return self.slope * math.log(size) + self.intercept


@dataclass(frozen=True)
class Progress:
    """Shares (T,) of a history's total change; all NaN, and `defined` false, where it ends as it began."""

    values: Array
    defined: bool


@dataclass(frozen=True)
class Pairs:
    """What a run's validations give, each (n,): the step, H in nats, R."""

    steps: Array
    entropy: Array
    accuracy: Array

    def __len__(self) -> int:
        return len(self.steps)


def fit(entropy: ArrayLike, accuracy: ArrayLike) -> Law:
    """H (n,) in nats, R (n,) -> the law by ordinary least squares of R on [exp(H), 1], unweighted (entropy.md
    4.3, U12).

    ValueError for fewer than three pairs, a value that is not finite, or H all equal.
    """
    entropies, accuracies = _columns(entropy, accuracy, "entropy", "accuracy")
    if len(entropies) < FEWEST:
        raise ValueError(
            f"{len(entropies)} pairs of entropy and accuracy; two coefficients need at least {FEWEST} to be "
            f"tested: validate more often"
        )
    x = _exp(entropies)
    if np.ptp(x) <= EQUAL * x.max():
        raise ValueError(
            f"all {len(x)} entropies are {entropies[0]:.6g} nats, so no slope can be told: fit a part of the "
            f"run in which entropy moves"
        )
    slope, intercept = _line(x, accuracies)
    apart = accuracies - (slope * x + intercept)
    about = accuracies - accuracies.mean()
    total = float(about @ about)
    # equal ones may miss their mean by a rounding, tiny ones square to 0
    explained = np.ptp(accuracies) > 0 and total > 0
    r2 = 1 - float(apart @ apart) / total if explained else math.nan
    return Law(-slope, intercept, r2, _rms(apart), len(x))


def predict(law: Law, entropy: ArrayLike) -> Array:
    """H (...) in nats -> R (...)."""
    return law.b - law.a * np.exp(np.asarray(entropy, np.float64))


def predict_rest(entropy: ArrayLike, accuracy: ArrayLike, fit_fraction: float = FIT_FRACTION) -> Forecast:
    """H (n,), R (n,) in the order of the run: fit the first ceil(fit_fraction * n) pairs, predict the others
    from their H (entropy.md 4.4).

    ValueError where `fit` raises one, or no pair is left to predict.
    """
    entropies, accuracies = _columns(entropy, accuracy, "entropy", "accuracy")
    if not 0 < fit_fraction < 1:
        raise ValueError(f"fit_fraction is {fit_fraction}; it must lie between 0 and 1")
    count = portion_up(fit_fraction, len(entropies))
    if count < FEWEST or count == len(entropies):
        raise ValueError(
            f"fit_fraction {fit_fraction} of {len(entropies)} pairs is {count}: the fit needs at least "
            f"{FEWEST}, and one must be left to "
            "predict; raise or lower it, or validate more often"
        )
    law = fit(entropies[:count], accuracies[:count])
    predicted = predict(law, entropies[count:])
    apart = predicted - accuracies[count:]
    return Forecast(law, predicted, _rms(apart), abs(float(apart[-1])))


def fit_size(sizes: ArrayLike, coefficients: ArrayLike) -> SizeLaw:
    """Sizes (k,) in billions of non-embedding parameters, the a or the b (k,) of their laws -> its course
    over sizes (entropy.md 4.5).

    By least squares. ValueError for fewer than two different sizes, one that is not positive, or a value that
    is not finite.
    """
    billions, values = _columns(sizes, coefficients, "sizes", "coefficients")
    if len(set(billions.tolist())) < 2 or (billions <= 0).any():
        raise ValueError(
            f"sizes {billions.tolist()}: a law over sizes needs at least two different ones, in billions of "
            f"parameters, above 0"
        )
    return SizeLaw(*_line(np.log(billions), values))


def progress(values: ArrayLike) -> Progress:
    """values (T,), T > 0, of a run -> (v_t - v_0) / (v_end - v_0): `consumed` of entropies, `gained` of
    accuracies (entropy.md 4.2).

    A history that goes one way only has shares in 0..1; one that overshoots its end has larger ones.
    """
    history = np.asarray(values, np.float64)
    if not len(history):
        raise ValueError("an empty history has no first and last value")
    change = history[-1] - history[0]
    if change == 0 or not math.isfinite(change):
        return Progress(np.full(len(history), math.nan), False)
    return Progress((history - history[0]) / change + 0.0, True)  # no -0.0 at the start of a fall


def progress_at(steps: ArrayLike, values: ArrayLike, share: float) -> float:
    """`progress` when `share` of the run (0..1) is over, linear between the steps (T,), which rise; NaN where
    it is not defined.
    """
    places = np.asarray(steps, np.float64)
    return float(np.interp(places[0] + share * (places[-1] - places[0]), places, progress(values).values))


def pairs(rows: Sequence[Mapping[str, Any]], accuracy: str, window: int = WINDOW) -> Pairs:
    """Returns the (entropy, accuracy) pairs of a curve's rows (`step`, `entropy` of an iteration, `accuracy`
    where it validated), one for each validation.

    H is the mean over the `window` iterations ending at the validation (entropy.md U13; 1: that iteration's
    alone). An iteration samples with the weights before its update, so that mean lags the validated weights
    by (window + 1) / 2 iterations; the validation before training takes the entropy of the first iteration,
    which is exactly its own. Values that are not finite numbers are passed over.
    """
    if window < 1:
        raise ValueError(f"window is {window}; it counts iterations, so at least 1")
    measured = [(row["step"], row["entropy"]) for row in rows if _finite(row.get("entropy"))]
    places, measured_pairs = [step for step, _ in measured], []
    for row in rows:
        if not _finite(row.get(accuracy)):
            continue
        step = row["step"]
        end = bisect_right(places, step)
        near = measured[bisect_left(places, step - window + 1) : end] if end else measured[:1]
        if near:
            measured_pairs.append(
                (step, math.fsum(entropy for _, entropy in near) / len(near), row[accuracy])
            )
    columns = np.asarray(measured_pairs, np.float64).reshape(-1, 3)
    return Pairs(columns[:, 0], columns[:, 1], columns[:, 2])


def _columns(first: ArrayLike, second: ArrayLike, *names: str) -> tuple[Array, Array]:
    columns = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if columns[0].ndim != 1 or columns[0].shape != columns[1].shape:
        raise ValueError(
            f"{names[0]} {columns[0].shape} and {names[1]} {columns[1].shape} must be two lists of one length"
        )
    for name, column in zip(names, columns, strict=True):
        if not np.isfinite(column).all():
            place = int(np.flatnonzero(~np.isfinite(column))[0])
            raise ValueError(f"{name}[{place}] is {column[place]}, which no fit can use: leave that pair out")
    return columns


def _exp(entropies: Array) -> Array:
    with np.errstate(over="ignore"):
        x = np.exp(entropies)
    if not np.isfinite(x).all():
        raise ValueError(
            f"an entropy of {entropies.max():.6g} nats is none of a token's, which is at most ln(vocabulary)"
        )
    return x


def _line(x: Array, y: Array) -> tuple[float, float]:
    """Slope and intercept of least squares; centred first, for the normal equations of [x, 1] lose half the
    digits.
    """
    about = x - x.mean()
    slope = float(about @ (y - y.mean()) / (about @ about))
    return slope, float(y.mean() - slope * x.mean())


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
