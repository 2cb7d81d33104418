"""KL-Cov: entropy.md 7.22 to 7.24."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.objectives import clip, kl_cov
from pipelines.objectives.covariance import token_covariance
from pipelines.objectives.options import ClipParams, KlCovParams

LOGPROBS = torch.tensor([-0.1, -0.2, -3.0, -0.7], dtype=torch.float64)
OLD = torch.tensor([-0.1, -0.2, -2.8, -0.7], dtype=torch.float64)
ADVANTAGES = torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=torch.float64)


def select(logprobs, old, advantages, settings, kept=None):
    kept = torch.ones(len(logprobs), dtype=torch.bool) if kept is None else kept
    return kl_cov.select(logprobs, old, advantages, kept, settings, torch.Generator())


def test_22_worked_example():
    settings = KlCovParams(share=0.25, coef=1.0)
    selected = select(LOGPROBS, OLD, ADVANTAGES, settings)
    assert selected.tolist() == [False, False, True, False]
    logprobs = LOGPROBS.clone().requires_grad_()
    loss = kl_cov.policy_loss(logprobs, OLD, ADVANTAGES, selected, settings)[0].mean()
    assert loss.item() == pytest.approx(0.00468269, abs=1e-8)
    found = torch.autograd.grad(loss, logprobs)[0]
    assert found.tolist() == pytest.approx([-0.25, -0.25, -0.0453173, 0.25], abs=1e-7)
    plain = kl_cov.policy_loss(logprobs, OLD, ADVANTAGES, None, settings)[0].mean()
    assert torch.autograd.grad(plain, logprobs)[0][2].item() == pytest.approx(0.2046827, abs=1e-7)


@given(st.integers(0, 10_000), st.integers(0, 40), st.sampled_from(["abs", "k2", "k3"]), st.booleans())
def test_23_without_share_or_weight_it_is_the_base_loss(seed, count, estimator, base_clip):
    """Bit for bit: the unclipped surrogate, or the clipped one of the same range."""
    new, old, advantages = torch.randn(
        3, count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    base = (
        clip.policy_loss(new, old, advantages, None, ClipParams())[0]
        if base_clip
        else -advantages * (new - old).exp()
    )
    for change in ({"share": 0.0}, {"coef": 0.0}):
        settings = KlCovParams(
            **{"share": 0.3, "coef": 1.0, "estimator": estimator, "base_clip": base_clip} | change
        )
        selected = select(new, old, advantages, settings)
        assert torch.equal(kl_cov.policy_loss(new, old, advantages, selected, settings)[0], base)


@pytest.mark.parametrize("estimator", ["abs", "k2", "k3"])
def test_23_nothing_happens_where_the_ratio_is_one(estimator):
    settings, logprobs = KlCovParams(share=1.0, estimator=estimator), LOGPROBS.clone().requires_grad_()
    for selected in (select(LOGPROBS, LOGPROBS, ADVANTAGES, settings), None):
        losses, _ = kl_cov.policy_loss(logprobs, LOGPROBS, ADVANTAGES, selected, settings)
        assert torch.equal(torch.autograd.grad(losses.sum(), logprobs)[0], -ADVANTAGES)


@pytest.mark.parametrize(("estimator", "wanted"), [("abs", 0.2), ("k2", 0.02), ("k3", 0.01873075)])
def test_24_estimators_at_a_log_ratio(estimator, wanted):
    settings = KlCovParams(share=1.0, estimator=estimator)
    losses, _ = kl_cov.policy_loss(
        torch.tensor([-1.2], dtype=torch.float64),
        torch.tensor([-1.0], dtype=torch.float64),
        torch.zeros(1),
        torch.tensor([True]),
        settings,
    )
    assert losses.item() == pytest.approx(wanted, abs=1e-8)


@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 1000), st.integers(0, 2**20))
def test_selection_takes_the_largest(seed, count, thousandths, bits):
    """As many kept tokens as asked for, and none left out whose covariance is above a selected one's."""
    new, old, advantages = torch.randn(
        3, count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    kept = torch.tensor([bool(bits >> (i % 20) & 1) for i in range(count)])
    selected = select(new, old, advantages, KlCovParams(share=thousandths / 1000), kept)
    assert int(selected.sum()) == min(max(1, thousandths * count // 1000), int(kept.sum()))
    cov, rest = token_covariance(new, advantages), kept & ~selected
    if selected.any() and rest.any():
        assert cov[selected].min() >= cov[rest].max()
    assert not bool((selected & ~kept).any())


def test_equal_covariances_are_taken_in_order():
    selected = select(
        torch.full((10,), -1.0), torch.full((10,), -1.0), torch.ones(10), KlCovParams(share=0.2)
    )
    assert selected.tolist() == [True] * 2 + [False] * 8
