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
from pipelines.training.micro_batches import MicroBatcher
from pipelines.training.policy_params import PolicyParams
from pipelines.training.reference import AdapterReference, Reference
from pipelines.training.training_row import TrainingRow
from pipelines.training.update import Updater
from pipelines.training.value_learning import Critic

# of a log-prob: whitening would make full-size advantages of it where nothing else tells responses apart
ROUNDING = 1e-6


class Crediting:
    """`reference` is None where no KL is asked for, `critic` where the credit needs no values."""

    def __init__(
        self,
        updater: Updater,
        batches: MicroBatcher,
        reference: Reference | AdapterReference | None,
        critic: Critic | None,
        settings: PolicyParams,
    ) -> None:
        self._updater, self._batches, self._reference, self._critic, self._settings = (
            updater,
            batches,
            reference,
            critic,
            settings,
        )
        self._credit = load("pipelines.credit", settings.credit.kind)

    def rows(self, rollout: Rollout) -> tuple[list[TrainingRow], dict[str, float]]:
        """The rows to train on, with advantages, and the figures of their making."""
        settings, forest = self._settings, rollout.forest
        nodes, rows = rollout.training_rows()
        if not rows:
            return [], {"kept_groups": 0.0, "kept_rows": 0.0}
        if settings.old_logprobs == "trainer":
            for row, logprobs, entropy in zip(rows, *self._updater.scores(rows), strict=True):
                row.old_logprobs, row.entropy = logprobs, entropy
            check_finite(torch.cat([row.old_logprobs for row in rows]), rows, "log-prob of the policy")
        penalties = values = tails = None
        if settings.kl.use == "reward":
            self.score_with_reference(rows)
            penalties = _by_node(forest.nodes, nodes, [self._penalty(row) for row in rows])
        if self._critic is not None:
            estimates, ends = self._critic.estimate_values(rows)
            values = _by_node(forest.nodes, nodes, estimates)
            tails = [0.0] * len(forest.nodes)
            for node, end in zip(nodes, ends, strict=True):
                tails[node] = end
        advantages = self._credit.assign(
            Experience(forest, rollout.rewards, penalties, values, tails), settings.credit
        )
        figures: dict[str, float] = {}
        for node, row in zip(nodes, rows, strict=True):
            row.advantages = advantages[node]
        # a segment beside a state without any verdict: whitening would make an advantage of its 0
        if settings.sampler.kind != "flat":
            known = [not bool(row.advantages.isnan().any()) for row in rows]
            nodes, rows = list(compress(nodes, known)), list(compress(rows, known))
            figures["unknown_rows"] = float(len(known) - len(rows))
            if not rows:
                return [], figures | {"kept_groups": 0.0, "kept_rows": 0.0}
        check_finite(torch.cat([row.advantages for row in rows]), rows, "the advantage")
        if penalties is not None:
            figures["kl"] = (
                -sum(float(part.sum()) for part in penalties)
                / settings.kl.coef
                / max(1, sum(len(row.ids) for row in rows))
            )
        if self._critic is not None and values is not None:
            figures |= self._critic.set_return_targets(rows, estimates, [row.advantages for row in rows])
        signal = [bool(row.advantages.any()) for row in rows]
        trees = {
            forest.nodes[node].tree for node, has_signal in zip(nodes, signal, strict=True) if has_signal
        }
        figures["kept_groups"] = len(trees) / max(1, len(forest.prompts))
        figures["kept_rows"] = sum(signal) / max(1, len(rows))
        # counted or not: no row would change a weight
        useless = not any(signal) and settings.kl.use != "loss"
        dropping = self._critic is None and (settings.zero_signal == "drop" or useless)
        cut = [settings.filter_truncated and not forest.nodes[node].finish.complete for node in nodes]
        return [
            row
            for row, some, gone in zip(rows, signal, cut, strict=True)
            if (some or not dropping) and not gone
        ], figures

    def score_with_reference(self, rows: Sequence[TrainingRow]) -> None:
        """Set `row.reference_logprobs`: log-probs of the rows' tokens under the reference model."""
        assert self._reference is not None
        score, temperature = self._reference.score, self._settings.sampling.temperature
        logprobs, _ = self._batches.score_rows(lambda part: score(part, temperature), rows)
        for row, scores in zip(rows, logprobs, strict=True):
            row.reference_logprobs = scores
        check_finite(torch.cat(logprobs), rows, "log-prob of the reference")

    def _penalty(self, row: TrainingRow) -> Tensor:
        assert row.reference_logprobs is not None
        apart = (row.old_logprobs - row.reference_logprobs).abs()
        estimate = kl_estimate(row.old_logprobs, row.reference_logprobs, self._settings.kl.estimator)
        return -self._settings.kl.coef * torch.where(apart < ROUNDING, 0.0, estimate)


def _by_node(all_nodes: Sequence[object], nodes: Sequence[int], values: Sequence[Tensor]) -> list[Tensor]:
    by_node = [torch.zeros(0)] * len(all_nodes)
    for node, value in zip(nodes, values, strict=True):
        by_node[node] = value
    return by_node
