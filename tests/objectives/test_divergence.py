"""KL estimators against methods/spo.md section 10 item 20 and methods/entropy.md section 7 item 24."""

import pytest
import torch

from pipelines.objectives.divergence import kl_estimate


def test_worked_numbers():
    policy, reference = torch.tensor([0.5, 0.25, 0.4]).log(), torch.tensor([0.25, 0.5, 0.4]).log()
    assert kl_estimate(policy, reference, "k3").tolist() == pytest.approx([0.19315, 0.30685, 0.0], abs=1e-5)
    assert kl_estimate(torch.tensor([-0.2]), torch.tensor([0.0]), "k2").item() == pytest.approx(0.02)
    assert kl_estimate(torch.tensor([0.2]), torch.tensor([0.0]), "k3").item() == pytest.approx(0.01873075, abs=1e-6)
    assert kl_estimate(torch.tensor([-0.2]), torch.tensor([0.0]), "k1").item() == pytest.approx(-0.2)


def test_expectations_are_the_kl():
    p, q = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64), torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64)
    exact = (p * (p / q).log()).sum().item()
    for estimator in ("k1", "k3"):
        assert (p * kl_estimate(p.log(), q.log(), estimator)).sum().item() == pytest.approx(exact, abs=1e-12)
    logits = p.log().clone().requires_grad_()
    logprobs = torch.log_softmax(logits, -1)
    (p * kl_estimate(logprobs, q.log(), "k2")).sum().backward()
    slope = p * ((p / q).log() - exact)  # d KL / d logits
    assert torch.allclose(logits.grad, slope, atol=1e-12)
