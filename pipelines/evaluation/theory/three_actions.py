"""Theorem 4.1's counterexample: three answers, one pair y1 > y2, and a y3 that the reference never gives
(dpo_vs_ppo.md 6.1, 6.4).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

REFERENCE = (0.5, 0.5, 0.0)
DPO_POLICY = (0.1, 0.0, 0.9)  # a minimiser of the DPO loss that no reward model and PPO can reach
START = (0.05, 0.05, 0.9)


def pair_loss(policy: Tensor, beta: float) -> Tensor:
    """policy (..., 3) -> log(1 + (b / a)^beta): with an even reference only the ratio of y2 to y1 counts,
    whatever y3 has.
    """
    return torch.log1p((policy[..., 1] / policy[..., 0]) ** beta)


def descend(start: Tensor, beta: float = 1.0, rate: float = 0.2, steps: int = 30) -> Tensor:
    """Gradient descent on the logits of a tabular policy from `start` (3,) -> the policies (steps + 1, 3) on
    the way.
    """
    logits = start.log().clone().requires_grad_()
    policies = [torch.softmax(logits, 0).detach()]
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(pair_loss(torch.softmax(logits, 0), beta), logits)
        logits = (logits - rate * gradient).detach().requires_grad_()
        policies.append(torch.softmax(logits, 0).detach())
    return torch.stack(policies)


def three_actions() -> dict[str, Any]:
    """Returns the table of dpo_vs_ppo.md 6.1 with the loss of each policy at beta 1, and the end of the
    descent of dpo_vs_ppo.md 6.4.
    """
    end = descend(torch.tensor(START, dtype=torch.float64))[-1]
    even = descend(torch.full((3,), 1 / 3, dtype=torch.float64))[-1]
    loss = {
        name: float(pair_loss(torch.tensor(policy, dtype=torch.float64), 1.0))
        for name, policy in _POLICIES.items()
    }
    return {
        "policies": {name: list(policy) for name, policy in _POLICIES.items()},
        "loss": loss,
        "start": list(START),
        "end": end.tolist(),
        "end_loss": float(pair_loss(end, 1.0)),
        "even_end": even.tolist(),
    }


_POLICIES = {"reference": REFERENCE, "dpo": DPO_POLICY, "ppo": (1.0, 0.0, 0.0)}
