"""KL estimators: spo.md 10.20, entropy.md 7.24, dpo_vs_ppo.md 9.2.29, reward_bridge.md 9.10."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.objectives.divergence import kl_estimate


def test_worked_numbers():
    policy, reference = torch.tensor([0.5, 0.25, 0.4]).log(), torch.tensor([0.25, 0.5, 0.4]).log()
    assert kl_estimate(policy, reference, "k3").tolist() == pytest.approx([0.19315, 0.30685, 0.0], abs=1e-5)
    assert kl_estimate(torch.tensor([-0.2]), torch.tensor([0.0]), "k2").item() == pytest.approx(0.02)
    assert kl_estimate(torch.tensor([0.2]), torch.tensor([0.0]), "k3").item() == pytest.approx(
        0.01873075, abs=1e-6
    )
    assert kl_estimate(torch.tensor([-0.2]), torch.tensor([0.0]), "k1").item() == pytest.approx(-0.2)


def test_expectations_are_the_kl():
    p, q = (
        torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64),
        torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64),
    )
    exact = (p * (p / q).log()).sum().item()
    for estimator in ("k1", "k3"):
        assert (p * kl_estimate(p.log(), q.log(), estimator)).sum().item() == pytest.approx(exact, abs=1e-12)
    logits = p.log().clone().requires_grad_()
    logprobs = torch.log_softmax(logits, -1)
    (p * kl_estimate(logprobs, q.log(), "k2")).sum().backward()
    slope = p * ((p / q).log() - exact)  # d KL / d logits
    assert torch.allclose(logits.grad, slope, atol=1e-12)


def test_single_terms_may_be_negative():
    """dpo_vs_ppo.md 9.2.29: p (.6, .4), q (.5, .5): E[k1] = .020136 from terms .182322 and -.223144."""
    p, q = torch.tensor([0.6, 0.4], dtype=torch.float64), torch.tensor([0.5, 0.5], dtype=torch.float64)
    terms = kl_estimate(p.log(), q.log(), "k1")
    assert terms.tolist() == pytest.approx([0.182322, -0.223144], abs=1e-6)
    assert (p * terms).sum().item() == pytest.approx(0.020136, abs=1e-6)


@given(st.lists(st.tuples(st.floats(-300, 0), st.floats(-300, 0)), max_size=9))
def test_laws(pairs):
    """k3 is never negative and finite however far apart; abs is |k1|; equal log-probs give 0; swapping flips
    the sign of k1.
    """
    policy, reference = torch.tensor(pairs, dtype=torch.float64).reshape(-1, 2).T
    k1, k2, k3, size = (kl_estimate(policy, reference, kind) for kind in ("k1", "k2", "k3", "abs"))
    assert bool((k3 >= 0).all())
    assert bool(torch.isfinite(k3).all())
    assert torch.equal(size, k1.abs())
    assert torch.allclose(k2, k1.square() / 2)
    assert torch.equal(kl_estimate(reference, policy, "k1"), -k1)
    assert not any(kl_estimate(policy, policy, kind).any() for kind in ("k1", "k2", "k3", "abs"))
