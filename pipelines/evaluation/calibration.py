"""Calibration of preference probabilities: reliability bins, expected calibration error, Brier score,
temperature.

The probability is Bradley-Terry's, sigma(margin) (dpo_vs_ppo.md 3.1). The order of a pair is a convention, so
a pair counts by the answer that the model prefers: its confidence max(p, 1 - p) lies in 0.5..1, and it is
right or wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]


def calibration(margins: Array, bins: int) -> dict[str, Any]:
    """margins (N,) = score of the chosen minus that of the rejected answer, N > 0 -> {ece, brier, log_loss,
    temperature, bins}.

    `bins` of equal width over 0.5..1, each {low, high, n, confidence, accuracy}, those without pairs left
    out. A tie is half right.
    """
    confidence = sigmoid(np.abs(margins))
    right = np.where(margins == 0, 0.5, margins > 0)
    place = np.minimum(((confidence - 0.5) * 2 * bins).astype(np.int64), bins - 1)
    table = []
    for index in range(bins):
        inside = place == index
        if inside.any():
            edges = {"low": 0.5 + index / (2 * bins), "high": 0.5 + (index + 1) / (2 * bins)}
            means = {"confidence": float(confidence[inside].mean()), "accuracy": float(right[inside].mean())}
            table.append({**edges, "n": int(inside.sum()), **means})
    return {
        "ece": sum(row["n"] * abs(row["accuracy"] - row["confidence"]) for row in table) / len(margins),
        "brier": float(np.square(1 - sigmoid(margins)).mean()),
        "log_loss": float(np.logaddexp(0, -margins).mean()),
        "temperature": temperature(margins),
        "bins": table,
    }


def temperature(margins: Array) -> float | None:
    """Returns the T that minimises the mean of -log sigma(margin / T): above 1 the model is overconfident,
    below 1 underconfident.

    None where no finite positive T does: all margins are at least 0 (T = 0), or their mean is not positive
    (infinity).
    """
    if margins.min() >= 0 or margins.mean() <= 0:
        return None
    low, high = 0.0, 1.0  # the slope in 1/T rises from below 0 to above it: the loss is convex
    while _slope(margins, high) < 0:
        low, high = high, high * 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _slope(margins, middle) < 0 else (low, middle)
    return float(2 / (low + high))


def sigmoid(values: Array) -> Array:
    """1 / (1 + e^-x), without overflow."""
    return np.exp(-np.logaddexp(0, -values))


def _slope(margins: Array, inverse: float) -> float:
    return float((-margins * sigmoid(-margins * inverse)).mean())
