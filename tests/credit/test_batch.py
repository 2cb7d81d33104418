"""Returns of REINFORCE and REINFORCE++ against reward_bridge.md 9.10, 9.11."""

import pytest
import torch

from pipelines.credit.batch import assign, returns_to_go
from pipelines.credit.experience import Experience
from pipelines.credit.gae import token_rewards
from pipelines.credit.options import BatchParams
from pipelines.credit.whitening import whiten
from pipelines.objectives.divergence import kl_estimate
from tests.credit.made import flat

RATIOS = torch.tensor([0.2, -0.1, 0.4], dtype=torch.float64)


def test_token_kl():
    """reward_bridge.md 9.10: token rewards, returns to go, and the sequence form is the first of them."""
    policy, reference = torch.zeros(3, dtype=torch.float64), -RATIOS
    penalties = -0.01 * kl_estimate(policy, reference, "k1")
    assert token_rewards(penalties, 1.0, True).tolist() == pytest.approx([-0.002, 0.001, 0.996])
    assert returns_to_go(penalties, 1.0).tolist() == pytest.approx([0.995, 0.997, 0.996])
    sequence = assign(Experience(flat([3]), [1.0], [penalties]), BatchParams())
    assert sequence[0].tolist() == pytest.approx([0.995] * 3)
    assert kl_estimate(policy, reference, "k3")[0].item() == pytest.approx(0.018731, abs=1e-6)


def test_whitening_weighs_tokens():
    """reward_bridge.md 9.11: mean .74625 and std .432580 over tokens; padding of 1e6 must not change the
    result.
    """
    experience = Experience(flat([3, 1]), [1.0, 0.0], [-0.01 * RATIOS, torch.tensor([-0.003])])
    returns = torch.cat(assign(experience, BatchParams(returns="to_go")))
    assert returns.mean().item() == pytest.approx(0.74625, abs=1e-6)
    padded, kept = torch.cat([returns, torch.tensor([1e6, -1e6])]), torch.tensor([True] * 4 + [False] * 2)
    white = whiten(padded, kept, "population", 1e-8)[:4]
    assert white.tolist() == pytest.approx([0.57504, 0.57966, 0.57735, -1.73205], abs=1e-4)
    assert torch.equal(white, whiten(returns, kept[:4], "population", 1e-8))


def test_without_a_kl_every_token_carries_the_reward():
    for returns in ("sequence", "to_go"):
        found = assign(Experience(flat([2], [1]), [0.7, -1.0]), BatchParams(returns=returns))
        assert torch.cat(found).tolist() == pytest.approx([0.7, 0.7, -1.0])
