"""From a judged forest to rows with advantages: what the reference and the critic say of the rows, then the
configured credit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

import torch
from torch import Tensor

from pipelines.credit.experience import Experience
from pipelines.objectives.divergence import kl_estimate
from pipelines.seams import load
from pipelines.training.collection import Rollout
from pipelines.training.guard import check_finite
from pipelines.training.policy_params import PolicyParams
from pipelines.training.policy_parts import Learner
from pipelines.training.training_row import TrainingRow
from pipelines.training.update import Updater

# of a log-prob: whitening would make full-size advantages of it where nothing else tells responses apart
ROUNDING = 1e-6
NOTHING_KEPT = {"kept_groups": 0.0, "kept_rows": 0.0}


class CreditAssigner:
    """Applies the configured credit to rollouts. `learner` has the reference and the critic, where there are
    any.
    """

    def __init__(self, updater: Updater, learner: Learner, settings: PolicyParams) -> None:
        self._updater, self._learner, self._settings = updater, learner, settings
        self._credit = load("pipelines.credit", settings.credit.kind)

    def assign(self, rollout: Rollout) -> tuple[list[TrainingRow], dict[str, float]]:
        """Returns the rows to train on, with advantages, and figures about them."""
        settings, forest, critic = self._settings, rollout.forest, self._learner.critic
        nodes, rows = rollout.training_rows()
        if not rows:
            return [], dict(NOTHING_KEPT)
        if settings.old_logprobs == "trainer":
            self._score_with_policy(rows)
        figures: dict[str, float] = {}
        penalties = estimates = values = tails = None
        if settings.kl.use == "reward":
            self.score_with_reference(rows)
            penalties = _by_node(len(forest.nodes), nodes, [self._penalty(row) for row in rows])
        if critic is not None:
            estimates, ends = critic.estimate_values(rows)
            values = _by_node(len(forest.nodes), nodes, estimates)
            tails = [0.0] * len(forest.nodes)
            for node, end in zip(nodes, ends, strict=True):
                tails[node] = end
        advantages = self._credit.assign(
            Experience(forest, rollout.rewards, penalties, values, tails), settings.credit
        )
        for node, row in zip(nodes, rows, strict=True):
            row.advantages = advantages[node]
        if settings.forest != "flat":
            nodes, rows, figures["unknown_rows"] = _known(nodes, rows)
            if not rows:
                return [], figures | NOTHING_KEPT
        check_finite(torch.cat([row.advantages for row in rows]), rows, "the advantage")
        if penalties is not None:
            total = -sum(float(part.sum()) for part in penalties)
            figures["kl"] = total / settings.kl.coef / max(1, sum(len(row.ids) for row in rows))
        if critic is not None and estimates is not None:
            figures |= critic.set_return_targets(rows, estimates, [row.advantages for row in rows])
        kept, shares = self._with_signal(rollout, nodes, rows)
        return kept, figures | shares

    def score_with_reference(self, rows: Sequence[TrainingRow]) -> None:
        """Set `row.reference_logprobs`: log-probs of the rows' tokens under the reference model."""
        reference, temperature = self._learner.reference, self._settings.sampling.temperature
        assert reference is not None
        logprobs, _ = self._learner.batches.score_rows(lambda part: reference.score(part, temperature), rows)
        for row, scores in zip(rows, logprobs, strict=True):
            row.reference_logprobs = scores
        check_finite(torch.cat(logprobs), rows, "log-prob of the reference")

    def _score_with_policy(self, rows: list[TrainingRow]) -> None:
        """Replace what the sampler reported by the trainer's own log-probs and entropies."""
        for row, logprobs, entropy in zip(rows, *self._updater.scores(rows), strict=True):
            row.old_logprobs, row.entropy = logprobs, entropy
        check_finite(torch.cat([row.old_logprobs for row in rows]), rows, "log-prob of the policy")

    def _with_signal(
        self, rollout: Rollout, nodes: Sequence[int], rows: Sequence[TrainingRow]
    ) -> tuple[list[TrainingRow], dict[str, float]]:
        """Rows that an update needs, and the shares of prompts and rows whose advantages are not all 0."""
        settings, forest = self._settings, rollout.forest
        has_signal = [bool(row.advantages.any()) for row in rows]
        trees = {forest.nodes[node].tree for node in compress(nodes, has_signal)}
        figures = {
            "kept_groups": len(trees) / max(1, len(forest.prompts)),
            "kept_rows": sum(has_signal) / max(1, len(rows)),
        }
        # counted or not: no row would change a weight
        useless = not any(has_signal) and settings.kl.use != "loss"
        drops = self._learner.critic is None and (settings.zero_signal == "drop" or useless)
        truncated = [settings.filter_truncated and not forest.nodes[node].finish.complete for node in nodes]
        kept = [
            row
            for row, signal, cut in zip(rows, has_signal, truncated, strict=True)
            if (signal or not drops) and not cut
        ]
        return kept, figures

    def _penalty(self, row: TrainingRow) -> Tensor:
        """Returns (tokens,): the part of each token's reward that pulls towards the reference."""
        assert row.reference_logprobs is not None
        difference = (row.old_logprobs - row.reference_logprobs).abs()
        estimate = kl_estimate(row.old_logprobs, row.reference_logprobs, self._settings.kl.estimator)
        return -self._settings.kl.coef * torch.where(difference < ROUNDING, 0.0, estimate)


def _known(nodes: Sequence[int], rows: Sequence[TrainingRow]) -> tuple[list[int], list[TrainingRow], float]:
    """Without the rows whose advantage is not known (a segment beside a state without any verdict), of which
    whitening would make an advantage; and how many those are.
    """
    known = [not bool(row.advantages.isnan().any()) for row in rows]
    return list(compress(nodes, known)), list(compress(rows, known)), float(known.count(False))


def _by_node(count: int, nodes: Sequence[int], values: Sequence[Tensor]) -> list[Tensor]:
    """Values of `nodes` as a list over all `count` nodes, empty for the others."""
    by_node = [torch.zeros(0)] * count
    for node, value in zip(nodes, values, strict=True):
        by_node[node] = value
    return by_node
