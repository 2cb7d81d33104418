"""Value normalisation: the critic learns returns in running standard units (dpo_vs_ppo.md 5.1.6)."""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_VARIANCE = 0.01


class ValueNorm:
    """Exponential running mean and mean square of returns, each divided by 1 - decay^updates.

    Order within an iteration: `denormalise` the critic's outputs, compute returns, `update` with them,
    `normalise` them as targets.
    """

    def __init__(self, decay: float = 0.99995, limit: float = 5.0) -> None:
        self._decay, self._limit = decay, limit
        self._mean, self._square, self._debias = 0.0, 0.0, 0.0

    @property
    def mean(self) -> float:
        """0 before any update."""
        return self._mean / self._debias if self._debias else 0.0

    @property
    def std(self) -> float:
        """sqrt(max(E[G^2] - E[G]^2, 0.01)): at least 0.1, as before any update."""
        square = self._square / self._debias if self._debias else 0.0
        return float(max(square - self.mean**2, LEAST_VARIANCE) ** 0.5)

    def update(self, returns: Tensor) -> None:
        """Take in the returns (N,) of a batch's tokens; an empty batch changes nothing. Raises ValueError
        unless all are finite.
        """
        if not len(returns):
            return
        if not bool(torch.isfinite(returns).all()):
            raise ValueError(
                "value normalisation met a return that is not finite; it would spoil every later value"
            )
        step, batch = 1 - self._decay, returns.double()
        self._mean += step * (float(batch.mean()) - self._mean)
        self._square += step * (float(batch.square().mean()) - self._square)
        self._debias += step * (1 - self._debias)

    def normalise(self, returns: Tensor) -> Tensor:
        """returns in reward units -> normalised, limited to [-limit, limit]; same shape and dtype."""
        return ((returns - self.mean) / self.std).clamp(-self._limit, self._limit)

    def denormalise(self, values: Tensor) -> Tensor:
        """The critic's outputs -> reward units; same shape and dtype."""
        return values * self.std + self.mean

    def state_dict(self) -> dict[str, float]:
        """Plain numbers; decay and limit belong to the settings."""
        return {"mean": self._mean, "square": self._square, "debias": self._debias}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self._mean, self._square, self._debias = state["mean"], state["square"], state["debias"]
