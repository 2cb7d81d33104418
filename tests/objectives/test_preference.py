"""Preference losses: the numbers of dpo_vs_ppo.md 9.2 and what each variant is there for."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.objectives.preference import cdpo, dpo, dpo_positive, ipo
from pipelines.objectives.preference.options import CdpoParams, DpoParams, DpoPositiveParams, IpoParams
from pipelines.settings import Seam
from pipelines.training.preference_params import PAIR_LOSS, PairTrainParams

LOGPROBS = st.floats(-50, 0, width=32)
FOUR = st.tuples(LOGPROBS, LOGPROBS, LOGPROBS, LOGPROBS)


def four(*values, grad=False):
    return tuple(torch.tensor([value], dtype=torch.float64, requires_grad=grad) for value in values)


def test_identity_1_at_the_reference_the_loss_is_log_2():
    chosen, rejected = four(-12.0, -7.0, grad=True)
    loss = dpo.pair_loss(chosen, rejected, *four(-12.0, -7.0), DpoParams())
    loss.sum().backward()
    assert loss.item() == pytest.approx(0.693147, abs=1e-6)
    assert chosen.grad.item() == pytest.approx(-0.05)
    assert rejected.grad.item() == pytest.approx(0.05)


def test_identity_2_value_and_gradient():
    chosen, rejected = four(-10.0, -11.0, grad=True)
    loss = dpo.pair_loss(chosen, rejected, *four(-12.0, -11.0), DpoParams())
    loss.sum().backward()
    assert loss.item() == pytest.approx(0.598139, abs=1e-6)
    assert chosen.grad.item() == pytest.approx(-0.045017, abs=1e-6)
    assert rejected.grad.item() == pytest.approx(0.045017, abs=1e-6)


def test_identity_3_swapped_answers_cost_beta_times_the_margin():
    straight = dpo.pair_loss(*four(-10.0, -11.0, -12.0, -11.0), DpoParams())
    swapped = dpo.pair_loss(*four(-11.0, -10.0, -11.0, -12.0), DpoParams())
    assert swapped.item() == pytest.approx(0.798139, abs=1e-6)
    assert (swapped - straight).item() == pytest.approx(0.2, abs=1e-12)


@given(FOUR, st.floats(-20, 20))
def test_identity_4_a_shift_of_both_policy_logprobs_changes_nothing(values, shift):
    chosen, rejected, *reference = values
    one = dpo.pair_loss(*four(*values), DpoParams())
    assert dpo.pair_loss(
        *four(chosen + shift, rejected + shift, *reference), DpoParams()
    ).item() == pytest.approx(one.item(), abs=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "expected"), [(0.9, 0.1, 0.105361), (0.1, 1 / 90, 0.105361), (0.3, 0.0, 0.0)]
)
def test_identity_5_only_the_ratio_of_the_two_counts(a, b, expected):
    log = [math.log(value) if value else -math.inf for value in (a, b)]
    assert dpo.pair_loss(
        *four(*log, math.log(0.5), math.log(0.5)), DpoParams(beta=1.0)
    ).item() == pytest.approx(expected, abs=1e-6)


@given(FOUR)
def test_cdpo_without_smoothing_is_dpo_and_with_it_the_mean_over_both_labels(values):
    chosen, rejected, one, other = values
    plain = dpo.pair_loss(*four(*values), DpoParams())
    turned = dpo.pair_loss(*four(rejected, chosen, other, one), DpoParams())
    assert cdpo.pair_loss(*four(*values), CdpoParams(smoothing=0.0)).item() == plain.item()
    smoothed = cdpo.pair_loss(*four(*values), CdpoParams(smoothing=0.2))
    assert smoothed.item() == pytest.approx((0.8 * plain + 0.2 * turned).item(), abs=1e-9)


def test_cdpo_rests_where_the_policy_is_as_sure_as_its_labels():
    margin = math.log(0.8 / 0.2) / 0.1
    chosen, rejected = four(-5.0 + margin, -5.0, grad=True)
    cdpo.pair_loss(chosen, rejected, *four(-5.0, -5.0), CdpoParams(smoothing=0.2)).sum().backward()
    assert chosen.grad.item() == pytest.approx(0.0, abs=1e-9)


def test_ipo_rests_at_its_margin_and_pulls_back_beyond():
    """arXiv 2310.12036 eq. 17: the optimum is a margin of 1 / (2 tau)."""
    for margin, sign in ((5.0, 0), (4.0, -1), (6.0, 1)):
        chosen, rejected = four(-5.0 + margin, -5.0, grad=True)
        loss = ipo.pair_loss(chosen, rejected, *four(-5.0, -5.0), IpoParams(beta=0.1))
        loss.sum().backward()
        assert loss.item() == pytest.approx((margin - 5.0) ** 2)
        assert torch.sign(chosen.grad).item() == sign


@given(FOUR)
def test_dpo_positive_is_dpo_while_the_chosen_answer_is_no_less_likely(values):
    chosen, rejected, one, other = values
    plain = dpo.pair_loss(*four(*values), DpoParams()).item()
    found = dpo_positive.pair_loss(*four(*values), DpoPositiveParams(penalty=5.0)).item()
    if chosen >= one:
        assert found == plain
    else:
        assert found == pytest.approx(
            dpo.pair_loss(*four(chosen - 5 * (one - chosen), rejected, one, other), DpoParams()).item(),
            abs=1e-9,
        )


def test_dpo_positive_lifts_a_chosen_answer_that_both_losses_would_let_sink():
    """Margin 2 bought by making the chosen answer 1 nat less likely: DPO rewards that, DPO-Positive does
    not.
    """
    values = (-11.0, -14.0, -10.0, -11.0)
    assert dpo.pair_loss(*four(*values), DpoParams()).item() < math.log(2)
    assert dpo_positive.pair_loss(*four(*values), DpoPositiveParams(penalty=50.0)).item() > math.log(2)


def test_the_seam_knows_the_losses_and_their_options():
    assert PAIR_LOSS.names() == ["cdpo", "dpo", "dpo_positive", "ipo"]
    assert isinstance(PAIR_LOSS, Seam)
    assert PairTrainParams(steps=1, loss={"kind": "ipo", "beta": 0.2}).loss == IpoParams(beta=0.2)
    assert PairTrainParams(steps=1).loss == DpoParams(beta=0.1)
    with pytest.raises(ValidationError, match="known: cdpo, dpo, dpo_positive, ipo"):
        PairTrainParams(steps=1, loss="orpo")
    with pytest.raises(ValidationError, match="smoothing"):
        PairTrainParams(steps=1, loss={"kind": "cdpo", "smoothing": 0.5})


def test_options_that_are_left_out_keep_the_defaults_of_the_method():
    settings = PairTrainParams(epochs=2, optimiser={"learning_rate": 1e-5}, schedule={"warmup": 0.1})
    assert settings.optimiser.epsilon == 1e-5
    assert settings.optimiser.weight_decay == 0.05
    assert settings.schedule.decay == "cosine"
    with pytest.raises(ValidationError, match="either steps or epochs"):
        PairTrainParams(steps=1, epochs=1)
