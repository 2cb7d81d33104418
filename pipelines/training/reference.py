"""The reference model: a copy of the start model, frozen or following the policy (dpo_vs_ppo.md 5.1.9)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pipelines.models import adapters
from pipelines.models.logprobs import TokenScores
from pipelines.models.packing import score_rows
from pipelines.models.placement import Placement
from pipelines.training.engine import Engine
from pipelines.training.training_row import TrainingRow


class AdapterReference:
    """The start model is the policy with its adapters switched off: no second copy of the weights."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def score(self, rows: Sequence[TrainingRow], temperature: float) -> TokenScores:
        """Log-probs and entropies of the rows' tokens, without gradient."""
        with torch.no_grad(), adapters.switched_off(self._engine.model):
            return self._engine.apply(score_rows, rows, temperature)

    def ema_update(self, policy: Any) -> None:
        """Does nothing: this reference is fixed."""


class ReferenceModel:
    """`rate` is the policy's weight in each `ema_update`; 0 keeps the start model. Weights are float32: steps
    of 0.001 vanish in bfloat16.
    """

    def __init__(self, model: Any, placement: Placement, rate: float = 0.0) -> None:
        self.model = copy.deepcopy(model).to(placement.device).eval().requires_grad_(False)
        self._placement, self._rate = placement, rate

    def score(self, rows: Sequence[TrainingRow], temperature: float) -> TokenScores:
        """Log-probs and entropies of the rows' tokens, without gradient."""
        with torch.no_grad(), self._placement.autocast():
            return score_rows(self.model, rows, temperature)

    def ema_update(self, policy: Any) -> None:
        """theta_ref <- rate * theta + (1 - rate) * theta_ref."""
        if self._rate:
            with torch.no_grad():
                for mine, theirs in zip(self.model.parameters(), policy.parameters(), strict=True):
                    mine.lerp_(theirs.detach().to(mine.dtype), self._rate)

    def save(self, folder: Path) -> None:
        """Write the weights, unless they are still the start model's."""
        from safetensors.torch import save_model

        if self._rate:
            save_model(self.model, str(folder / "reference.safetensors"))

    def load(self, folder: Path) -> None:
        """Take back what `save` wrote."""
        from safetensors.torch import load_model

        if self._rate:
            load_model(self.model, str(folder / "reference.safetensors"), device=str(self._placement.device))
