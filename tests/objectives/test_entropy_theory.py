"""Entropy and its change: entropy.md 7.1, 7.2, 7.4, 7.26 to 7.30."""

import math

import pytest
import torch

from pipelines.models.logprobs import of_logits
from pipelines.objectives.covariance import token_covariance
from tests.objectives.tabular import covariance, entropy, probabilities, stepped

ARMS = probabilities(0.7, 0.2, 0.1)


def measured(logits, temperature=1.0):
    return of_logits(logits, torch.zeros(len(logits), dtype=torch.int64), temperature).entropy


@pytest.mark.parametrize("size", [4, 151_936])
def test_1_uniform(size):
    assert measured(torch.zeros(1, size)).item() == pytest.approx(math.log(size), rel=1e-5)


def test_1_peaked():
    rows = torch.stack([torch.tensor([0.9, 0.1, 0.0]), torch.tensor([0.7, 0.2, 0.1])]).clamp(min=1e-30).log()
    assert measured(rows).tolist() == pytest.approx([0.325083, 0.801819], abs=1e-6)
    assert measured(torch.tensor([[0.0, -1e4, -1e4]])).tolist() == [0.0]


@pytest.mark.parametrize(("temperature", "wanted"), [(1.0, 0.832396), (2.0, 1.020191), (0.5, 0.441057)])
def test_2_temperature_and_a_constant(temperature, wanted):
    rows = torch.tensor([[2.0, 1.0, 0.0], [12.0, 11.0, 10.0]])
    assert measured(rows, temperature).tolist() == pytest.approx([wanted] * 2, abs=1e-6)


def test_4_slope_in_the_logits():
    logits = ARMS.log().requires_grad_()
    p = torch.softmax(logits, -1)
    (slope,) = torch.autograd.grad(entropy(p), logits)
    assert slope.tolist() == pytest.approx([-0.311601, 0.161524, 0.150077], abs=1e-6)
    assert torch.allclose(slope, (-p * (p.log() + entropy(p))).detach(), atol=1e-12)


def error(p, change):
    """Relative error of the first-order prediction -Cov(log p, change) of the entropy's change."""
    predicted = -covariance(p, p.log(), change)
    return ((entropy(stepped(p, change)) - entropy(p)) / predicted - 1).abs().item()


def test_26_bandit():
    advantages = probabilities(0.3, -0.7, -0.7)
    assert covariance(ARMS, ARMS.log(), ARMS * advantages).item() == pytest.approx(0.0985548, abs=1e-7)
    assert covariance(ARMS, ARMS.log(), advantages).item() == pytest.approx(0.3116005, abs=1e-7)
    policy = [error(ARMS, rate * ARMS * advantages) for rate in (1e-2, 1e-3)]
    natural = [error(ARMS, rate * advantages) for rate in (1e-2, 1e-3)]
    assert policy == [pytest.approx(5.3e-4, abs=1e-5), pytest.approx(5.3e-5, abs=1e-6)]
    assert natural == [pytest.approx(1.36e-3, abs=1e-5), pytest.approx(1.37e-4, abs=1e-6)]


def test_27_the_rare_arm_raises_the_entropy():
    advantages = probabilities(-0.1, -0.1, 0.9)
    assert covariance(ARMS, ARMS.log(), ARMS * advantages).item() == pytest.approx(-0.0320885, abs=1e-7)
    assert covariance(ARMS, ARMS.log(), advantages).item() == pytest.approx(-0.1500767, abs=1e-7)
    assert entropy(stepped(ARMS, 0.01 * advantages)) > entropy(ARMS)


def test_28_second_order_at_the_uniform_policy():
    p, advantages = probabilities(*[1 / 3] * 3), probabilities(2 / 3, -1 / 3, -1 / 3)
    assert covariance(p, p.log(), advantages).item() == pytest.approx(0, abs=1e-15)
    change = (entropy(stepped(p, 0.01 * advantages)) - entropy(p)).item()
    assert change == pytest.approx(-1.111e-5, rel=0.02)


def test_29_from_samples():
    drawn = torch.multinomial(ARMS, 200_000, replacement=True, generator=torch.Generator().manual_seed(0))
    advantages = probabilities(0.3, -0.7, -0.7)
    assert token_covariance(ARMS.log()[drawn], advantages[drawn]).mean().item() == pytest.approx(
        0.3116, abs=0.004
    )


def test_30_policy_gradient_of_the_logits():
    logits = ARMS.log().requires_grad_()
    (slope,) = torch.autograd.grad((torch.softmax(logits, -1) * probabilities(1, 0, 0)).sum(), logits)
    assert slope.tolist() == pytest.approx([0.21, -0.14, -0.07])
