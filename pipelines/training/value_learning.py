"""The critic's side of PPO: values of states, their running normalisation, and its updates (dpo_vs_ppo.md
5.1).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from pipelines.credit.value_norm import ValueNorm
from pipelines.models.critic import score_values
from pipelines.objectives.value import value_loss
from pipelines.training.engine import Engine
from pipelines.training.guard import check_finite
from pipelines.training.loop_params import CriticParams
from pipelines.training.micro_batches import MicroBatcher, split_by_row
from pipelines.training.training_row import TrainingRow

NORM = "value_norm.json"


class Critic:
    """A value model, `engine.model`, with an optimiser of its own; its outputs are in units of the returns'
    running deviation, if so configured.
    """

    collective = True  # the engine's part of a checkpoint may be divided among ranks

    def __init__(self, engine: Engine, settings: CriticParams, batches: MicroBatcher) -> None:
        self._engine, self._settings, self._batches = engine, settings, batches
        self._norm = ValueNorm(settings.decay)

    def estimate_values(self, rows: Sequence[TrainingRow]) -> tuple[list[Tensor], list[float]]:
        """Set `row.values` (normalised); returns them in reward units, with the value of the state after each
        row's last token.
        """

        def values(part: list[TrainingRow]) -> list[tuple[Tensor, float]]:
            before, after = self._engine.apply(score_values, part)
            return list(zip(split_by_row(before, part), after.float().tolist(), strict=True))

        estimates = self._batches.map_rows(values, rows)
        for row, (before, _) in zip(rows, estimates, strict=True):
            row.values = before
        return [self._denormalised(before) for before, _ in estimates], [
            float(self._denormalised(torch.tensor(after))) for _, after in estimates
        ]

    def set_return_targets(
        self, rows: Sequence[TrainingRow], values: Sequence[Tensor], advantages: Sequence[Tensor]
    ) -> dict[str, float]:
        """Make targets of returns = advantages + values (reward units), after the running statistics have
        taken the returns in.
        """
        returns = [advantage + value for advantage, value in zip(advantages, values, strict=True)]
        flat, estimates = torch.cat(returns), torch.cat(list(values))
        if self._settings.normalise:
            self._norm.update(flat)
        for row, row_returns in zip(rows, returns, strict=True):
            row.returns = self._norm.normalise(row_returns) if self._settings.normalise else row_returns
        spread = float(flat.var(correction=0))
        explained = 1.0 - float((flat - estimates).var(correction=0)) / spread if spread > 1e-12 else 0.0
        return {"return_mean": float(flat.mean()), "explained_variance": explained}

    def update(self, rows: list[TrainingRow], factor: float) -> dict[str, float]:
        """One optimiser step: the mean over tokens of the clipped squared error."""
        weight, total = 1.0 / max(1, sum(len(row.ids) for row in rows)), 0.0
        for group, counts in self._batches.micro_batches(rows, range(len(rows))):
            part = [rows[index] for index in group]
            values, _ = self._engine.apply(score_values, part)
            if not counts:
                # of what the others use: with ZeRO-3 another graph would wait for other weights
                self._engine.backward(values.sum() * 0.0)
                continue
            check_finite(values, part, "value of the critic")
            old, returns = (
                torch.cat([getattr(row, name) for row in part]).to(values.device)
                for name in ("values", "returns")
            )
            loss = value_loss(values, old, returns, self._settings.clip).sum() * weight
            self._engine.backward(loss)
            total += float(loss.detach())
        norm = self._engine.step(factor)
        return {"value_loss": self._batches.ranks.sum(total), "value_grad_norm": norm}

    def save(self, folder: Path) -> None:
        """Weights, optimiser and statistics."""
        self._engine.save(folder)
        if self._batches.ranks.is_first:
            (folder / NORM).write_text(json.dumps(self._norm.state_dict()), "utf-8")

    def load(self, folder: Path) -> None:
        """Take back what `save` wrote."""
        self._engine.load(folder)
        self._norm.load_state_dict(json.loads((folder / NORM).read_text("utf-8")))

    def _denormalised(self, values: Tensor) -> Tensor:
        return self._norm.denormalise(values) if self._settings.normalise else values
