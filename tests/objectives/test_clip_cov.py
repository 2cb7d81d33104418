"""Clip-Cov: entropy.md 7.20 and 7.21."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.objectives import clip, clip_cov
from pipelines.objectives.covariance import token_covariance
from pipelines.objectives.options import ClipCovParams, ClipParams

LOGPROBS = torch.tensor([-0.1, -0.2, -3.0, -0.7], dtype=torch.float64)
ADVANTAGES = torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=torch.float64)
EVERY = torch.ones(4, dtype=torch.bool)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def made(seed, count):
    """log-probs, old log-probs and advantages."""
    return torch.randn(3, count, dtype=torch.float64, generator=seeded(seed)) * torch.tensor(
        [[1.0], [1.0], [2.0]]
    )


def gradient(losses, logprobs):
    return torch.autograd.grad(losses.mean(), logprobs)[0]


@pytest.mark.parametrize("seed", range(5))
def test_20_worked_example(seed):
    settings = ClipCovParams(share=0.5, least=0.85, most=5.0)
    selected = clip_cov.select(LOGPROBS, LOGPROBS, ADVANTAGES, EVERY, settings, seeded(seed))
    assert selected.tolist() == [True, False, True, False]
    logprobs = LOGPROBS.clone().requires_grad_()
    losses, figures = clip_cov.policy_loss(logprobs, LOGPROBS, ADVANTAGES, selected, settings)
    assert gradient(losses, logprobs).tolist() == pytest.approx([0, -0.25, 0, 0.25])
    base, _ = clip_cov.policy_loss(logprobs, LOGPROBS, ADVANTAGES, None, settings)
    assert gradient(base, logprobs).tolist() == pytest.approx([-0.25, -0.25, 0.25, 0.25])
    assert figures["selected"].tolist() == [1.0, 0.0, 1.0, 0.0]


@given(st.integers(0, 10_000), st.integers(0, 40))
def test_21_nothing_selected_is_the_base_loss(seed, count):
    """Share 0, and no candidate between the bounds: the clipped loss and its gradient, bit for bit."""
    new, old, advantages = made(seed, count)
    every = torch.ones(count, dtype=torch.bool)
    for settings in (
        ClipCovParams(share=0.0, low=0.2, high=0.3),
        ClipCovParams(share=0.5, least=1e6, most=1e7, low=0.2, high=0.3),
    ):
        selected = clip_cov.select(new, old, advantages, every, settings, seeded())
        assert not selected.any()
        one, two = new.clone().requires_grad_(), new.clone().requires_grad_()
        losses, _ = clip_cov.policy_loss(one, old, advantages, selected, settings)
        base, _ = clip.policy_loss(two, old, advantages, None, ClipParams(low=0.2, high=0.3))
        assert torch.equal(losses, base)
        assert torch.equal(torch.autograd.grad(losses.sum(), one)[0], torch.autograd.grad(base.sum(), two)[0])


@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 1000), st.integers(0, 2**20))
def test_21_selection(seed, count, thousandths, bits):
    """At most floor(share N) tokens once that is 1 or more; candidates only; the same seed draws the same."""
    new, old, advantages = made(seed, count)
    kept = torch.tensor([bool(bits >> (i % 20) & 1) for i in range(count)])
    settings = ClipCovParams(share=thousandths / 1000, least=0.1, most=2.0, low=0.2, high=0.3)
    selected = clip_cov.select(new, old, advantages, kept, settings, seeded(seed))
    assert int(selected.sum()) <= max(1, thousandths * count // 1000)
    cov = token_covariance(new, advantages)
    _, clipped = clip.clipped_surrogate(new, old, advantages, 0.2, 0.3)
    candidates = kept & ~clipped & (cov > 0.1) & (cov < 2.0)
    assert not bool((selected & ~candidates).any())
    assert int(selected.sum()) == min(max(1, thousandths * count // 1000), int(candidates.sum()))
    assert torch.equal(selected, clip_cov.select(new, old, advantages, kept, settings, seeded(seed)))


def test_the_draw_is_uniform_over_candidates():
    """Four equal candidates, one drawn: each about a quarter of 2000 times (standard error 1 %)."""
    logprobs = torch.tensor([-0.1] * 4 + [-3.0] * 4, dtype=torch.float64)
    advantages = torch.tensor([1.0] * 4 + [-1.0] * 4, dtype=torch.float64)
    kept = torch.tensor([True] * 4 + [False] * 4)
    generator, settings = seeded(), ClipCovParams(share=0.125, least=0.1)
    times = sum(
        clip_cov.select(logprobs, logprobs, advantages, kept, settings, generator).int() for _ in range(2000)
    )
    assert (times[:4] / 2000).tolist() == pytest.approx([0.25] * 4, abs=0.04)
    assert times[4:].tolist() == [0] * 4


def test_bounds_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="not below"):
        ClipCovParams(least=5.0, most=1.0)
