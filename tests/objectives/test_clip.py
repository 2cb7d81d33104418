"""The clipped surrogate: entropy.md 7.13, dpo_vs_ppo.md 9.2.16, reward_bridge.md 9.12."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.credit.whitening import whiten
from pipelines.objectives import reinforce
from pipelines.objectives.clip import clipped_surrogate, policy_loss
from pipelines.objectives.options import ClipParams
from pipelines.settings import Choice


@pytest.mark.parametrize(
    ("ratio", "advantage", "bounds", "loss", "clipped"),
    [
        pytest.param(1.5, 1, (0.2, 0.28), -1.28, True, id="entropy.md 7.13"),
        pytest.param(1.25, 1, (0.2, 0.28), -1.25, False, id="entropy.md 7.13"),
        pytest.param(0.5, 1, (0.2, 0.28), -0.5, False, id="entropy.md 7.13"),
        pytest.param(0.5, -1, (0.2, 0.28), 0.8, True, id="entropy.md 7.13"),
        pytest.param(1.5, -1, (0.2, 0.28), 1.5, False, id="entropy.md 7.13"),
        pytest.param(1.5, 1, (0.2, 0.2), -1.2, True, id="dpo_vs_ppo.md 9.2.16, reward_bridge.md 9.12"),
        pytest.param(0.5, 1, (0.2, 0.2), -0.5, False, id="dpo_vs_ppo.md 9.2.16, reward_bridge.md 9.12"),
        pytest.param(1.5, -1, (0.2, 0.2), 1.5, False, id="dpo_vs_ppo.md 9.2.16, reward_bridge.md 9.12"),
        pytest.param(0.5, -1, (0.2, 0.2), 0.8, True, id="dpo_vs_ppo.md 9.2.16, reward_bridge.md 9.12"),
    ],
)
def test_worked_numbers(ratio, advantage, bounds, loss, clipped):
    new = torch.tensor([ratio]).log().requires_grad_()
    losses, flags = clipped_surrogate(new, torch.zeros(1), torch.tensor([float(advantage)]), *bounds)
    assert losses.item() == pytest.approx(loss, abs=1e-6)
    assert flags.item() is clipped
    (gradient,) = torch.autograd.grad(losses.sum(), new)
    assert gradient.item() == pytest.approx(0.0 if clipped else loss, abs=1e-6)  # d(-A r)/d logp = -A r


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"), [(11, -1, 10), (9, -1, 9), (11, 1, -1.28), (0.5, -1, 0.8), (11, -2, 20)]
)
def test_dual_clip(ratio, advantage, loss):
    """entropy.md 7.13: c = 10 changes only A < 0 with a ratio above 10."""
    new, advantages = torch.tensor([float(ratio)]).log().requires_grad_(), torch.tensor([float(advantage)])
    losses, figures = policy_loss(
        new, torch.zeros(1), advantages, None, ClipParams(low=0.2, high=0.28, dual=10.0)
    )
    assert losses.item() == pytest.approx(loss, rel=1e-5)
    plain, flags = clipped_surrogate(new, torch.zeros(1), advantages, 0.2, 0.28)
    beyond = ratio > 10 and advantage < 0
    assert torch.equal(losses, plain) is not beyond
    assert figures["clip_fraction"].item() == float(beyond or flags.item())
    if beyond:
        assert torch.autograd.grad(losses.sum(), new)[0].item() == 0.0


def test_before_any_update():
    """dpo_vs_ppo.md 9.2.16: ratio 1 -> loss -A, whose token mean over the normalised rollout batch is 0.
    reward_bridge.md 9.12: REINFORCE's gradient.
    """
    advantages = whiten(
        torch.tensor([1.0, 2.0, 3.0, 10.0, -4.0]), torch.ones(5, dtype=torch.bool), "population", 1e-5
    )
    logprobs = torch.linspace(-3, -0.1, 5).requires_grad_()
    losses, _ = policy_loss(logprobs, logprobs.detach(), advantages, None, ClipParams())
    assert torch.equal(losses, -advantages)
    assert losses.mean().item() == pytest.approx(0, abs=1e-6)
    plain, _ = reinforce.policy_loss(logprobs, logprobs.detach(), advantages, None, Choice(kind="reinforce"))
    assert torch.equal(*(torch.autograd.grad(part.mean(), logprobs)[0] for part in (losses, plain)))


def test_two_armed_reinforce():
    """reward_bridge.md 9.13: logits 0, 0, arm 0 drawn with A = 1 -> the gradient of A log pi is (.5, -.5)."""
    logits = torch.zeros(2, requires_grad=True)
    logprobs = torch.log_softmax(logits, -1)[:1]
    losses, figures = reinforce.policy_loss(
        logprobs, torch.tensor([-9.0]), torch.ones(1), None, Choice(kind="reinforce")
    )
    assert (-torch.autograd.grad(losses.sum(), logits)[0]).tolist() == [0.5, -0.5]
    assert figures == {}


@given(st.integers(0, 10_000), st.floats(0.1, 10), st.sampled_from([None, 3.0]))
def test_advantages_scale_the_loss(seed, scale, dual):
    new, old, advantages = torch.randn(
        3, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    one, _ = clipped_surrogate(new, old, advantages, 0.2, 0.28, dual)
    more, _ = clipped_surrogate(new, old, scale * advantages, 0.2, 0.28, dual)
    assert torch.allclose(more, scale * one)
    assert more.dtype == torch.float64


def test_far_ratios_stay_finite_and_the_interface_reports_the_clip_fraction():
    new = torch.tensor([0.0, -200.0, 0.0], requires_grad=True)
    losses, figures = policy_loss(
        new, torch.tensor([-200.0, 0.0, -1.0]), torch.tensor([-1.0, -1.0, 1.0]), None, ClipParams()
    )
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert torch.isfinite(new.grad).all()
    assert figures["clip_fraction"].tolist() == [0.0, 1.0, 1.0]
    assert figures["clip_high_fraction"].tolist() == [0.0, 0.0, 1.0]
