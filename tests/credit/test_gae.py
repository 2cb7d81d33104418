"""Generalised advantages against dpo_vs_ppo.md 9.2.9 to 9.2.13."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.credit.batch import returns_to_go
from pipelines.credit.experience import Experience
from pipelines.credit.gae import assign, gae, token_rewards
from pipelines.credit.options import GaeParams
from pipelines.objectives.divergence import kl_estimate
from pipelines.rollouts.forest import Finish
from tests.credit.made import flat

VALUES = torch.tensor([0.5, 0.6, 0.7], dtype=torch.float64)


def of(rewards, tail, lam):
    return gae(
        torch.tensor(rewards, dtype=torch.float64), VALUES, torch.tensor(tail, dtype=torch.float64), 1.0, lam
    )


def test_token_rewards():
    """dpo_vs_ppo.md 9.2.9: KL part (-.05, .1, 0); the score, clipped to 20, is added on the last token only
    where the response ended.
    """
    old, reference = (
        torch.tensor([-1.0, -2.0, -0.5], dtype=torch.float64),
        torch.tensor([-1.5, -1.0, -0.5], dtype=torch.float64),
    )
    penalties = -0.1 * kl_estimate(old, reference, "k1")
    assert penalties.tolist() == pytest.approx([-0.05, 0.1, 0.0])
    assert token_rewards(penalties, 20.0, True).tolist() == pytest.approx([-0.05, 0.1, 20.0])
    assert token_rewards(penalties, 20.0, False).tolist() == pytest.approx([-0.05, 0.1, 0.0])


@pytest.mark.parametrize(
    ("rewards", "tail", "lam", "wanted"),
    [
        pytest.param([0, 0, 1], 0.0, 1.0, [0.5, 0.4, 0.3], id="10"),
        pytest.param([0, 0, 1], 0.0, 0.0, [0.1, 0.1, 0.3], id="11"),
        pytest.param([0, 0, 1], 0.0, 0.95, [0.46575, 0.385, 0.3], id="12"),
        pytest.param([0, 0, 0], 0.8, 1.0, [0.3, 0.2, 0.1], id="13"),
    ],
)
def test_worked_numbers(rewards, tail, lam, wanted):
    assert of(rewards, tail, lam).tolist() == pytest.approx(wanted)


def test_target_with_lambda_one_is_the_reward_to_go():
    """dpo_vs_ppo.md 9.2.10: G = A + V = (1, 1, 1)."""
    assert (of([0, 0, 1], 0.0, 1.0) + VALUES).tolist() == pytest.approx([1.0] * 3)


@given(st.integers(0, 2**31), st.integers(1, 12), st.floats(0, 1), st.floats(0, 1))
def test_against_the_sum_of_differences(seed, count, gamma, lam):
    """A_t = sum over k of (gamma lam)^k delta_{t+k}, term by term."""
    generator = torch.Generator().manual_seed(seed)
    rewards, values = torch.randn(2, count, dtype=torch.float64, generator=generator)
    tail = torch.randn((), dtype=torch.float64, generator=generator)
    states = [*values.tolist(), tail.item()]
    deltas = [rewards[t].item() + gamma * states[t + 1] - states[t] for t in range(count)]
    wanted = [sum((gamma * lam) ** k * deltas[t + k] for k in range(count - t)) for t in range(count)]
    assert gae(rewards, values, tail, gamma, lam).tolist() == pytest.approx(wanted, abs=1e-9)


def test_responses_of_unequal_length_that_ended_and_that_were_cut():
    """Every response is its own row: the batch it stands in changes nothing; a cut one has no score and the
    critic's tail.
    """
    sizes = [(3, Finish.EOS), (1, Finish.STOP), (3, Finish.CAP), (2, Finish.CONTEXT), (0, Finish.CONTEXT)]
    forest = flat(sizes)
    values = [torch.rand(size, generator=torch.Generator().manual_seed(size)) for size, _ in sizes]
    penalties = [torch.linspace(-0.1, 0.1, size) for size, _ in sizes]
    rewards, tails = [1.0, 2.0, 3.0, 4.0, 5.0], [9.0, 9.0, 0.8, 0.3, 0.0]
    found = assign(Experience(forest, rewards, penalties, values, tails), GaeParams(lam=0.9, gamma=0.99))
    for index, (size, finish) in enumerate(sizes):
        own = token_rewards(penalties[index].double(), rewards[index], finish.complete)
        tail = torch.tensor(0.0 if finish.complete else tails[index], dtype=torch.float64)
        assert torch.equal(found[index], gae(own, values[index].double(), tail, 0.99, 0.9).float())
        assert len(found[index]) == size


def test_zero_critic_gives_returns_to_go():
    penalties = torch.tensor([-0.1, 0.2, -0.3])
    found = assign(Experience(flat([3]), [1.0], [penalties], [torch.zeros(3)], None), GaeParams())
    assert torch.allclose(found[0], returns_to_go(penalties, 1.0).float())


def test_a_missing_critic_is_named():
    with pytest.raises(ValueError, match="critic"):
        assign(Experience(flat([2]), [1.0]), GaeParams())
    with pytest.raises(ValueError, match="tails"):
        assign(Experience(flat([(2, Finish.CAP)]), [1.0], None, [torch.zeros(2)], None), GaeParams())
