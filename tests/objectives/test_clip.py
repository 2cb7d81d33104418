"""The clipped surrogate against methods/entropy.md section 7 item 13 and methods/spo.md section 10 items 17 and 19."""

import pytest
import torch

from pipelines.objectives.clip import clipped_surrogate, policy_loss
from pipelines.objectives.objective_params import ObjectiveParams


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "clipped"),
    [(1.5, 1, -1.28, True), (1.25, 1, -1.25, False), (0.5, 1, -0.5, False), (0.5, -1, 0.8, True), (1.5, -1, 1.5, False)],
)
def test_worked_numbers(ratio, advantage, loss, clipped):
    new = torch.tensor([ratio]).log().requires_grad_()
    losses, flags = clipped_surrogate(new, torch.zeros(1), torch.tensor([float(advantage)]), 0.2, 0.28)
    assert losses.item() == pytest.approx(loss, abs=1e-6)
    assert flags.item() is clipped
    (gradient,) = torch.autograd.grad(losses.sum(), new)
    assert gradient.item() == pytest.approx(0.0 if clipped else loss, abs=1e-6)  # d(-A r)/d logp = -A r


def test_unmasked_mean_of_the_probability_mask_example():
    """spo.md 17, mask off: L = -.01579; and with tokens 1 and 2 kept: pg -.6, .4, L = -.1."""
    old, new = torch.tensor([0.95, 0.5, 0.8, 0.99]).log(), torch.tensor([0.5, 0.65, 0.6, 0.2]).log()
    losses, _ = clipped_surrogate(new, old, torch.tensor([0.5, 0.5, -0.5, -0.5]), 0.2, 0.2)
    assert losses.mean().item() == pytest.approx(-0.01579, abs=1e-5)
    assert losses[1:3].tolist() == pytest.approx([-0.6, 0.4], abs=1e-6)


def test_far_ratios_stay_finite_and_the_interface_reports_the_clip_fraction():
    new = torch.tensor([0.0, -200.0], requires_grad=True)
    losses, figures = policy_loss(new, torch.tensor([-200.0, 0.0]), torch.tensor([-1.0, -1.0]), ObjectiveParams())
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert torch.isfinite(new.grad).all()
    assert figures["clip_fraction"].tolist() == [0.0, 1.0]
