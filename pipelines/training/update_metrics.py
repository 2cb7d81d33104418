"""The row of the training curve that the updates of one iteration make."""

from __future__ import annotations

from pipelines.training.batch_plan import BatchPlan
from pipelines.training.metrics import Metrics

# sums of a batch over all its tokens, or over none; the others are over the tokens inside the loss mask
NOT_OF_THE_MASK = frozenset({"loss", "update_kl", "mismatch"})


class UpdateMetrics:
    """Figures of the updates of an iteration. `critic`: means over the critic's updates; `grad_norms`: of
    each batch, 0 where no row had a gradient; `updates`: the optimiser's steps; `skipped`: batches without
    one for their ratio.
    """

    def __init__(self) -> None:
        self.critic = Metrics()
        self.grad_norms: list[float] = []
        self.updates = 0
        self.skipped = 0
        self._batches, self._tokens, self._plans = Metrics(), Metrics(), Metrics()
        self._first: dict[str, float] = {}
        self._trained_tokens = 0

    def add_batch(self, plan: BatchPlan, sums: Metrics, first: bool) -> None:
        """Take in an optimiser batch: its plan, and sums over its tokens. `first`: the policy is still the
        one that sampled all of it, so that its mismatch is the sampler's.
        """
        tokens, loss_tokens = plan.tokens(), plan.loss_tokens
        if first:
            mean = sums.sum("mismatch") / max(1, tokens)
            self._first = {"mismatch": mean, "mismatch_max": sums.maximum("mismatch_max")}
        self._batches.add("loss", sums.sum("loss"))
        self._batches.add("kept_tokens", loss_tokens, tokens)
        self._batches.add("update_kl", sums.sum("update_kl"), tokens)
        for name, value in sums.sums().items():
            if name not in NOT_OF_THE_MASK:
                self._tokens.add(name, value, loss_tokens)
        self._plans.add_sums(plan.figures)
        self._trained_tokens += tokens

    def row(self, show_skipped: bool) -> dict[str, float]:
        """Returns the figures under their names in the curve; `updates` alone, and the critic's, where the
        policy was not updated.
        """
        critic = self.critic.means()
        if not self.grad_norms and not self.skipped:
            return {"updates": 0} | critic
        batches = self._batches
        figures = {"loss": batches.mean("loss"), "kept_tokens": batches.mean("kept_tokens")} | self._first
        figures["update_kl"] = batches.mean("update_kl")
        figures |= self._tokens.means() | self._plans.means()
        if show_skipped:
            figures["skipped_updates"] = self.skipped
        return (
            figures
            | critic
            | {
                "grad_norm": sum(self.grad_norms) / max(1, len(self.grad_norms)),
                "updates": self.updates,
                "trained_tokens": self._trained_tokens,
            }
        )
