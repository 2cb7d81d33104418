"""The pure functions refuse what they do not know, instead of choosing a branch, and hold at the edges of
their types.
"""

import math

import numpy as np
import pytest
import torch

from pipelines.credit.gae import token_rewards
from pipelines.credit.group import group_advantage
from pipelines.credit.shaping import overlong_penalty, z_score
from pipelines.credit.whitening import whiten
from pipelines.objectives import clip_cov, kl_cov, reinforce
from pipelines.objectives.aggregation import sequence_weights
from pipelines.objectives.covariance import token_covariance
from pipelines.objectives.divergence import kl_estimate
from pipelines.objectives.options import ClipCovParams, KlCovParams

ONE = torch.ones(2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: kl_estimate(ONE, ONE, "k4"), "estimator 'k4' of the KL: use one of k1, k2, k3, abs"),
        (
            lambda: group_advantage(ONE[None], "std", 1e-6),
            "spread 'std' of a group: use one of population, sample, none",
        ),
        (lambda: whiten(ONE, ONE.bool(), "whatever"), "whitening 'whatever': use one of none, standard"),
        (
            lambda: sequence_weights([1, 2], "token-mean", 3),
            "aggregation 'token-mean': use one of token_mean",
        ),
        (lambda: overlong_penalty(ONE, 10, 0), "overlong cache 0"),
    ],
)
def test_an_unknown_name_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize(
    ("advantages", "kept"), [(ONE, torch.ones(2, dtype=torch.int64)), (torch.tensor([1, 2]), ONE.bool())]
)
def test_whitening_takes_floats_and_a_bool_mask(advantages, kept):
    """entropy.md 9: a mask of integers would pick elements 0 and 1 over and over."""
    with pytest.raises(TypeError, match="float advantages and a bool mask"):
        whiten(advantages, kept)


def test_neighbours_of_a_short_type_are_not_alike():
    values = torch.tensor([1.0, 1.0078125, 1.015625, 1.0234375], dtype=torch.bfloat16)
    assert whiten(values, torch.ones(4, dtype=torch.bool)).tolist() == pytest.approx(
        [-1.16, -0.387, 0.387, 1.16], rel=1e-2
    )


def test_a_group_is_compared_in_float64():
    assert group_advantage(
        torch.tensor([[300.0, -300.0]], dtype=torch.float16), "population", 1e-6
    ).tolist() == [[1.0, -1.0]]
    assert group_advantage(torch.tensor([[1, 0, 0, 0]]), "population", 0.0)[0].tolist() == pytest.approx(
        [3**0.5] + [-(3**-0.5)] * 3
    )
    rounding = torch.tensor([[0.3, 0.1 + 0.2, 0.3]], dtype=torch.float64)
    assert rounding[0, 0] != rounding[0, 1]
    assert group_advantage(rounding, "population", 0.0).tolist() == [[0.0, 0.0, 0.0]]
    assert group_advantage(torch.empty(2, 0), "sample", 1e-6).shape == (2, 0)


def test_whole_numbers_are_no_trap():
    logprobs = torch.tensor([-0.1, -0.2, -3.0, -0.7])
    whole = torch.tensor([1, 1, -1, 0])
    torch.testing.assert_close(token_covariance(logprobs, whole), token_covariance(logprobs, whole.float()))
    assert token_rewards(torch.tensor([0, 0]), 0.5, True).tolist() == [0.0, 0.5]


def test_a_spread_of_zero_is_no_divisor():
    scored = z_score(
        torch.tensor([0.5, 0.5], dtype=torch.float64), torch.zeros(2, dtype=torch.int64), min_std=0.0
    )
    assert scored.rewards.tolist() == [0.0, 0.0]


def test_a_selection_is_bool_whatever_the_mask():
    logprobs, advantages, kept = (
        torch.tensor([-0.1, -0.2, -3.0, -0.7]),
        torch.tensor([1.0, 1.0, -1.0, -1.0]),
        torch.tensor([1, 1, 0, 1]),
    )
    generator = torch.Generator().manual_seed(0)
    for module, settings in (
        (clip_cov, ClipCovParams(share=0.5, least=0.5)),
        (kl_cov, KlCovParams(share=0.5)),
    ):
        selected = module.select(logprobs, logprobs, advantages, kept, settings, generator)
        assert selected.dtype == torch.bool
        assert selected.tolist() == [True, True, False, False]


def test_no_sequences_have_no_weights():
    for aggregation in ("token_mean", "seq_mean_token_mean", "seq_mean_token_sum", "seq_mean_token_sum_norm"):
        assert sequence_weights([], aggregation, 8) == []


def test_reinforce_is_the_mean_of_whole_responses():
    """reward_bridge.md 5.2: -mean_i A_i sum_t log pi, by seq_mean_token_sum."""
    responses = [np.array([-0.5, -1.0, -0.25]), np.array([-2.0])]
    advantages = [0.8, -0.3]
    expected = -np.mean(
        [advantage * each.sum() for advantage, each in zip(advantages, responses, strict=True)]
    )
    weights = sequence_weights([3, 1], "seq_mean_token_sum")
    found = 0.0
    for each, advantage, weight in zip(responses, advantages, weights, strict=True):
        logprobs = torch.tensor(each)
        losses, _ = reinforce.policy_loss(logprobs, logprobs, torch.full_like(logprobs, advantage))
        found += weight * float(losses.sum())
    assert math.isclose(found, expected)
