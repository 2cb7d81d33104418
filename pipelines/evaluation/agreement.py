"""Agreement of a verifier with labels that it did not make (reward_bridge.md 7.5), with intervals over
questions.

Responses to one question are not independent, so the bootstrap draws questions, not responses.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from pipelines.evaluation import paired
from pipelines.evaluation.bootstrap import bootstrap

Array = np.ndarray[Any, np.dtype[np.float64]]
EQUAL_MASS_BINS = 15


@dataclass(frozen=True)
class JudgedAnswer:
    """A verifier's judgement of one response. `label`: the truth, 1 or 0; `verdict`: 1, 0, or None for no
    verdict, which counts as 0; `probability` of 1, in 0..1, None for a verifier without; `question` groups
    responses.
    """

    question: Hashable
    label: int
    verdict: int | None
    probability: float | None = None
    subject: str = ""


def agreement(judged: Sequence[JudgedAnswer], seed: int = 0) -> dict[str, Any]:
    """Returns {n, questions, positive (share of labels), confusion, accuracy, balanced_accuracy, precision,
    recall, false_accept, false_reject, kappa, kappa_low, kappa_high, ac1, degenerate, unparsed} and, where
    there are probabilities, {auroc, auprc, ece, brier, unsure}.

    Raises ValueError for nothing judged, a label that is not 0 or 1, or a probability outside 0..1 (NaN too),
    naming the row.
    """
    if not judged:
        raise ValueError("no judgements to compare: the set of labelled responses is empty")
    for place, row in enumerate(judged):
        if row.label not in (0, 1) or row.verdict not in (0, 1, None):
            raise ValueError(
                f"row {place} ({row.question}): label {row.label!r}, verdict {row.verdict!r}; both are 0 or "
                f"1, a verdict may be None"
            )
        if row.probability is not None and not 0 <= row.probability <= 1:
            raise ValueError(f"row {place} ({row.question}): probability {row.probability!r} is not in 0..1")
    label = np.array([row.label for row in judged], np.float64)
    accepted = np.array([row.verdict or 0 for row in judged], np.float64)
    columns = [label * accepted, (1 - label) * accepted, label * (1 - accepted), (1 - label) * (1 - accepted)]
    hit, false_accept, false_reject, _ = counts = [float(column.sum()) for column in columns]
    groups = [row.question for row in judged]
    value, degenerate = kappa(*counts)
    low, high = bootstrap(columns, groups, lambda sums, rows: _kappas(*sums)[0], seed)
    positives, negatives = hit + false_reject, len(judged) - hit - false_reject
    figures: dict[str, Any] = {
        "n": len(judged),
        "questions": len(set(groups)),
        "positive": positives / len(judged),
        "confusion": dict(
            zip(("true_accept", "false_accept", "false_reject", "true_reject"), map(int, counts), strict=True)
        ),
        "accuracy": (hit + counts[3]) / len(judged),
        "balanced_accuracy": (_ratio(hit, positives, 1.0) + _ratio(counts[3], negatives, 1.0)) / 2,
        "precision": _ratio(hit, hit + false_accept),
        "recall": _ratio(hit, positives),
        "false_accept": _ratio(false_accept, negatives),
        "false_reject": _ratio(false_reject, positives),
        "kappa": value,
        "kappa_low": low,
        "kappa_high": high,
        "ac1": ac1(*counts),
        "degenerate": degenerate,
        "unparsed": sum(row.verdict is None for row in judged) / len(judged),
    }
    known = [(row.label, row.probability) for row in judged if row.probability is not None]
    if known:
        figures |= _of_probabilities(
            np.array([verdict for verdict, _ in known]), np.array([p for _, p in known], np.float64)
        )
    return figures


def by_subject(judged: Sequence[JudgedAnswer], seed: int = 0) -> dict[str, dict[str, Any]]:
    """Returns `agreement` by subject, sorted by name."""
    return {
        name: agreement([row for row in judged if row.subject == name], seed)
        for name in sorted({row.subject for row in judged})
    }


def kappa(hit: float, false_accept: float, false_reject: float, reject: float) -> tuple[float, bool]:
    """Returns Cohen's kappa of a 2 x 2 table, and whether it is undefined (chance agreement 1), where kappa
    is given as 0 (reward_bridge.md 9.15).
    """
    value, degenerate = _kappas(
        *(np.array([count], np.float64) for count in (hit, false_accept, false_reject, reject))
    )
    return float(value[0]), bool(degenerate[0])


def ac1(hit: float, false_accept: float, false_reject: float, reject: float) -> float:
    """Returns Gwet's AC1, which is robust against a high prevalence: (p_o - p_e) / (1 - p_e), p_e = 2 q (1 -
    q), q the mean share of 1.
    """
    total = hit + false_accept + false_reject + reject
    observed, share = (hit + reject) / total, (2 * hit + false_accept + false_reject) / (2 * total)
    chance = 2 * share * (1 - share)
    return (observed - chance) / (1 - chance)


def fleiss(positives: Sequence[int], raters: int) -> float:
    """Returns Fleiss' kappa of two categories: `positives[i]` of `raters` (2 or more) gave item i a 1. 1
    where all ratings are equal. Raises ValueError for other counts.
    """
    if raters < 2 or not positives or not all(0 <= count <= raters for count in positives):
        raise ValueError(
            f"{len(positives)} items with 0 to {raters} positives each are expected, and at least 2 raters"
        )
    yes = np.array(positives, np.float64)
    item_agreement = (yes * (yes - 1) + (raters - yes) * (raters - yes - 1)) / (raters * (raters - 1))
    share = yes.mean() / raters
    chance = share**2 + (1 - share) ** 2
    return 1.0 if math.isclose(chance, 1.0) else float((item_agreement.mean() - chance) / (1 - chance))


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> dict[str, float]:
    """McNemar's exact two-sided test whether two verifiers err equally often; `first[i]`, `second[i]`: right
    on item i. Returns {only_first, only_second, p}.
    """
    pairs = list(zip(first, second, strict=True))
    only_first, only_second = (
        sum(mine and not yours for mine, yours in pairs),
        sum(yours and not mine for mine, yours in pairs),
    )
    p = paired.mcnemar(only_first, only_second)
    return {"only_first": only_first, "only_second": only_second, "p": p}


def ece_equal_mass(label: Array, probability: Array, bins: int = EQUAL_MASS_BINS) -> float:
    """Returns the expected calibration error over `bins` bins of equal count, ordered by probability: the sum
    of n_b / n |mean label - mean probability|.
    """
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, len(order))) if len(part)]
    return float(
        sum(len(part) * abs(label[part].mean() - probability[part].mean()) for part in parts) / len(label)
    )


def _of_probabilities(label: Array, probability: Array) -> dict[str, float | None]:
    both = 0 < label.sum() < len(label)
    return {
        "auroc": float(roc_auc_score(label, probability)) if both else None,
        "auprc": float(average_precision_score(label, probability)) if both else None,
        "ece": ece_equal_mass(label, probability),
        "brier": float(np.square(label - probability).mean()),
        # below 2 % a soft reward is a binary one (reward_bridge.md 10.4)
        "unsure": float(((probability > 0.05) & (probability < 0.95)).mean()),
    }


def _kappas(
    hit: Array, false_accept: Array, false_reject: Array, reject: Array
) -> tuple[Array, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Returns (tables,) kappa of the (tables,) counts, 0 where it is undefined, and (tables,) bool: whether
    it is undefined.
    """
    total = hit + false_accept + false_reject + reject
    label, accepted = (hit + false_reject) / total, (hit + false_accept) / total
    chance = label * accepted + (1 - label) * (1 - accepted)
    degenerate = np.isclose(chance, 1.0)
    return np.where(
        degenerate, 0.0, ((hit + reject) / total - chance) / np.where(degenerate, 1.0, 1 - chance)
    ), degenerate


def _ratio(part: float, total: float, empty: float = 0.0) -> float:
    return part / total if total else empty
