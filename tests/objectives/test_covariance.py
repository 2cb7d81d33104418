"""Token covariance: entropy.md 7.18, 7.19 and 7.25, and 4.8."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.objectives.covariance import covariance_figures, selected_count, token_covariance

LOGPROBS = torch.tensor([-0.1, -0.2, -3.0, -0.7], dtype=torch.float64)
ADVANTAGES = torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=torch.float64)
NUMBERS = st.lists(st.tuples(st.floats(-20, 0), st.floats(-3, 3)), min_size=1, max_size=12)


def columns(pairs):
    return torch.tensor(pairs, dtype=torch.float64).T


def test_19_worked_numbers():
    found = token_covariance(LOGPROBS, ADVANTAGES)
    assert found.tolist() == pytest.approx([0.9, 0.8, 2.0, -0.3])
    assert found.mean().item() == pytest.approx(0.85)


@given(NUMBERS, st.floats(-3, 3), st.floats(0.1, 5))
def test_18_constants_change_nothing_and_scales_scale(pairs, constant, scale):
    logprobs, advantages = columns(pairs)
    found = token_covariance(logprobs, advantages)
    assert torch.allclose(token_covariance(logprobs + constant, advantages), found, atol=1e-9)
    assert torch.allclose(token_covariance(logprobs, advantages + constant), found, atol=1e-9)
    assert torch.allclose(token_covariance(logprobs, scale * advantages), scale * found, atol=1e-9)
    assert torch.allclose(
        token_covariance(logprobs, torch.full_like(advantages, constant)), torch.zeros_like(found), atol=1e-12
    )


@given(NUMBERS)
def test_the_mean_is_the_covariance(pairs):
    logprobs, advantages = columns(pairs)
    wanted = (logprobs * advantages).mean() - logprobs.mean() * advantages.mean()
    assert token_covariance(logprobs, advantages).mean().item() == pytest.approx(wanted.item(), abs=1e-9)


def test_25_counts():
    assert [selected_count(2e-4, count) for count in (20_480, 1000, 1, 0)] == [4, 1, 1, 0]
    assert selected_count(2e-3, 30_720) == 61
    assert selected_count(0.2 / 100, 30_720) == selected_count(2e-3, 30_720)
    assert selected_count(0.0, 30_720) == 0
    assert selected_count(0.29, 100) == 29  # 28.999999999999996 in floats


def test_figures_of_a_block():
    """entropy.md 4.8: top shares, and the quadrants of what was selected: the token of largest covariance
    here is rare and bad.
    """
    selected = torch.tensor([True, False, True, True])
    figures = covariance_figures(LOGPROBS, ADVANTAGES, selected)
    assert figures["cov_top_0.0002"] == pytest.approx(2.0)
    assert figures["cov_top_0.5"] == pytest.approx(1.45)
    assert figures["cov_top_1"] == pytest.approx(0.85)
    quadrants = {name: value for name, value in figures.items() if "top" not in name}
    third = pytest.approx(1 / 3)
    assert quadrants == {
        "cov_likely_good": third,
        "cov_likely_bad": third,
        "cov_rare_good": 0.0,
        "cov_rare_bad": third,
    }
    nothing = torch.zeros(4, dtype=torch.bool)
    assert covariance_figures(LOGPROBS, ADVANTAGES, nothing)["cov_rare_bad"] == 0.0
    assert covariance_figures(LOGPROBS[:0], ADVANTAGES[:0], nothing[:0]) == {}


def test_no_gradient_flows_through_it():
    logprobs = LOGPROBS.clone().requires_grad_()
    assert not token_covariance(logprobs, ADVANTAGES).requires_grad
