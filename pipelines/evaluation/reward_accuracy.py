"""Accuracy, margin and calibration of scores on held-out pairs, in total and by source
(dpo_vs_ppo.md 3.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.evaluation.assessment_params import RewardReportParams
from pipelines.evaluation.calibration import calibration
from pipelines.evaluation.intervals import mean_of, share_of
from pipelines.evaluation.scores import Preferred, Scorer, pair_rows, scores_of


def reward_report(
    score: Scorer, pairs: Sequence[Preferred], settings: RewardReportParams, budget: int
) -> dict[str, Any]:
    """Returns `preference_accuracy` of a model's scores of held-out pairs; `budget`: tokens per forward pass.

    Raises ValueError without pairs, and for a score that is not finite, naming the pair.
    """
    if not pairs:
        raise ValueError("no held-out pair to report on; raise heldout_share of the preference set")
    scores = scores_of(score, pair_rows(pairs), budget).reshape(-1, 2)
    return preference_accuracy(pairs, scores[:, 0], scores[:, 1], settings)


def preference_accuracy(
    pairs: Sequence[Preferred],
    chosen: Sequence[float] | np.ndarray,
    rejected: Sequence[float] | np.ndarray,
    settings: RewardReportParams,
) -> dict[str, Any]:
    """Scores (N,) of the chosen and the rejected answers -> {pairs, prompts, accuracy, ties, margin, chosen,
    rejected, calibration, by_source}. A tie counts half, so that scores which know nothing are right half of
    the time. Intervals are 95 %, over prompts.
    """
    first, second = np.asarray(chosen, np.float64), np.asarray(rejected, np.float64)
    for pair, chosen_score, rejected_score in zip(pairs, first, second, strict=True):
        if not (math.isfinite(chosen_score) and math.isfinite(rejected_score)):
            raise ValueError(
                f"pair {pair.id}: scores {chosen_score} and {rejected_score}; the model that gave them "
                "is broken"
            )
    sources = sorted({pair.source for pair in pairs})
    figures = _figures(pairs, first, second, settings)
    parts = {}
    for source in sources if len(sources) > 1 else []:
        places = [place for place, pair in enumerate(pairs) if pair.source == source]
        parts[source] = _figures([pairs[place] for place in places], first[places], second[places], settings)
    return figures | {"by_source": parts}


def _figures(
    pairs: Sequence[Preferred], chosen: np.ndarray, rejected: np.ndarray, settings: RewardReportParams
) -> dict[str, Any]:
    margins, groups = chosen - rejected, [pair.group for pair in pairs]
    right = np.where(margins == 0, 0.5, margins > 0)
    return {
        "pairs": len(pairs),
        "prompts": len(set(groups)),
        "accuracy": share_of(right.tolist(), groups),
        "ties": int((margins == 0).sum()),
        "margin": mean_of(margins.tolist(), groups),
        "chosen": float(chosen.mean()),
        "rejected": float(rejected.mean()),
        "calibration": calibration(margins, settings.bins),
    }
