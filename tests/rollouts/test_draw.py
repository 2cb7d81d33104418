"""Drawing: the frequencies are the probabilities, and log-prob and entropy are those of the distribution
drawn from.
"""

import math

import pytest
import torch

from pipelines.rollouts.engines.draw import draw, restrict
from pipelines.rollouts.rollout_params import SamplingParams


def grid(n: int) -> torch.Tensor:
    return (torch.arange(n) + 0.5) / n


def test_inverse_cdf_gives_exact_shares():
    logits = torch.tensor([0.7, 0.2, 0.1]).log().expand(1000, 3)
    ids, logprobs, entropy = draw(logits, grid(1000), SamplingParams())
    assert torch.bincount(ids).tolist() == [700, 200, 100]
    assert logprobs[ids == 2][0].item() == pytest.approx(math.log(0.1), abs=1e-6)
    assert entropy[0].item() == pytest.approx(0.801819, abs=1e-5)


def test_temperature_is_part_of_the_distribution():
    """spo.md 10.5: a pair (.80, .20) at T = .6 becomes .9097."""
    ids, logprobs, _ = draw(
        torch.tensor([[0.8, 0.2]]).log(), torch.tensor([0.9]), SamplingParams(temperature=0.6)
    )
    assert ids.item() == 0
    assert math.exp(logprobs.item()) == pytest.approx(0.9097, abs=1e-4)


def test_zero_temperature_is_greedy_and_reports_the_plain_distribution():
    """entropy.md 7.36: argmax, no division by zero; entropy.md 7.1's entropy of (2, 1, 0) is 0.832396."""
    ids, logprobs, entropy = draw(
        torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([0.999]), SamplingParams(temperature=0.0)
    )
    assert ids.item() == 0
    assert math.exp(logprobs.item()) == pytest.approx(0.665241, abs=1e-5)
    assert entropy.item() == pytest.approx(0.832396, abs=1e-5)


def test_ends_of_the_unit_interval_never_pick_an_impossible_token():
    logits = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]]).expand(2, 4)
    ids, logprobs, _ = draw(logits, torch.tensor([0.0, 1 - 2.0**-24]), SamplingParams(top_k=3))
    assert ids.tolist() == [1, 2]
    assert torch.isfinite(logprobs).all()


def test_top_p_and_top_k_renormalise_over_the_support():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    kept = lambda **settings: torch.isfinite(restrict(logits, **settings))[0].tolist()  # noqa: E731
    assert kept(top_p=0.75, top_k=0) == [True, True, False, False]
    assert kept(top_p=1.0, top_k=3) == [True, True, True, False]
    assert kept(top_p=0.01, top_k=0) == [True, False, False, False]
    _, logprobs, entropy = draw(logits, torch.tensor([0.1]), SamplingParams(top_p=0.75))
    assert math.exp(logprobs.item()) == pytest.approx(0.625, abs=1e-5)
    assert entropy.item() == pytest.approx(-(0.625 * math.log(0.625) + 0.375 * math.log(0.375)), abs=1e-5)
