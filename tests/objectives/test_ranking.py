"""Bradley-Terry and cost loss: the numbers of dpo_vs_ppo.md 9.2."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.objectives.ranking import bradley_terry, cost_loss

SCORES = st.floats(-30, 30)


def column(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(("chosen", "rejected"), [(1.0, 0.0), (3.0, 2.0)])
def test_identity_7_value(chosen, rejected):
    assert bradley_terry(column(chosen), column(rejected), column(1.0)).item() == pytest.approx(
        0.313262, abs=1e-6
    )


def test_identity_7_pairs_of_one_prompt_share_its_weight():
    zeros = column(0.0, 0.0, 0.0)
    assert bradley_terry(zeros, zeros, column(0.5, 0.5, 1.0)).item() == pytest.approx(1.386294, abs=1e-6)
    assert bradley_terry(zeros, zeros, column(1.0, 1.0, 1.0)).item() == pytest.approx(2.079442, abs=1e-6)


def test_identity_8_cost_loss():
    found = cost_loss(column(1.0), column(-0.5), column(1.0), column(-1.0))
    assert found.item() == pytest.approx(0.201413 + 0.313262 + 0.474077, abs=2e-6)
    assert found.item() == pytest.approx(0.988752, abs=1e-6)


@given(SCORES, SCORES, SCORES)
def test_only_the_difference_of_rewards_counts(chosen, rejected, shift):
    one = bradley_terry(column(chosen), column(rejected), column(1.0)).item()
    assert bradley_terry(
        column(chosen + shift), column(rejected + shift), column(1.0)
    ).item() == pytest.approx(one, abs=1e-9)
    assert one - bradley_terry(column(rejected), column(chosen), column(1.0)).item() == pytest.approx(
        rejected - chosen, abs=1e-9
    )


@given(SCORES, SCORES)
def test_two_unsafe_answers_are_both_drawn_above_zero(harmful, safer):
    costs = [torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in (harmful, safer)]
    cost_loss(*costs, column(1.0), column(1.0)).sum().backward()
    assert costs[0].grad.item() <= 0, "the more harmful answer's cost rises"
    boundary = cost_loss(column(0.0), column(0.0), column(1.0), column(-1.0))
    assert boundary.item() == pytest.approx(3 * 0.693147, abs=1e-5)
