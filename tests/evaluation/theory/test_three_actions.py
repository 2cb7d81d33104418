"""Theorem 4.1's counterexample and the closed form: dpo_vs_ppo.md 6.1, 6.4, 9.2.5 and 9.2.6."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation.theory.learners import closed_form
from pipelines.evaluation.theory.three_actions import (
    DPO_POLICY,
    REFERENCE,
    START,
    descend,
    pair_loss,
    three_actions,
)
from pipelines.objectives.preference.dpo import pair_loss as dpo_loss
from pipelines.objectives.preference.options import DpoParams


def policy(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_identity_5_only_the_ratio_counts():
    """(a,b) = (.9,.1) and (.1,1/90) at beta = 1 both give 0.105361; b = 0 gives 0 for any pi(y3)."""
    assert float(pair_loss(policy(0.9, 0.1, 0.0), 1.0)) == pytest.approx(0.105361, abs=1e-6)
    assert float(pair_loss(policy(0.1, 1 / 90, 0.9 - 1 / 90), 1.0)) == pytest.approx(0.105361, abs=1e-6)
    assert float(pair_loss(policy(*DPO_POLICY), 1.0)) == float(pair_loss(policy(1.0, 0.0, 0.0), 0.3)) == 0


@given(st.floats(0.01, 0.98), st.floats(0.01, 0.98), st.sampled_from([0.1, 0.5, 1.0]))
def test_the_short_form_is_the_loss_that_language_models_are_trained_with(a, b, beta):
    total = a + b + 0.1
    one = policy(a / total, b / total, 0.1 / total)
    logs, reference = one.log(), policy(0.5, 0.5).log()
    full = dpo_loss(logs[:1], logs[1:2], reference[:1], reference[1:], DpoParams(beta=beta))
    assert float(pair_loss(one, beta)) == pytest.approx(float(full))


def test_identity_6_the_optimum_keeps_to_the_support_of_the_reference():
    assert closed_form(policy(*REFERENCE), policy(1.0, 0.0, 100.0), 0.1).tolist() == pytest.approx(
        [0.999955, 0.0000454, 0.0], abs=1e-6
    )
    reference, rewards = policy(0.5, 0.3, 0.2), policy(0.0, 0.1, 0.2)
    best = closed_form(reference, rewards, 0.1)
    assert best.tolist() == pytest.approx([0.1790, 0.2919, 0.5291], abs=1e-4)
    assert float((reference * (rewards / 0.1).exp()).sum()) == pytest.approx(2.793296, abs=1e-6)
    recovered = 0.1 * (best / reference).log()
    assert (recovered - recovered[0]).tolist() == pytest.approx(rewards.tolist())


def test_section_6_4_descent_leaves_mass_on_the_answer_that_nobody_compared():
    path = descend(policy(*START))
    assert path[-1].tolist() == pytest.approx([0.153, 0.014, 0.833], abs=5e-4)
    assert float(pair_loss(path[-1], 1.0)) == pytest.approx(0.087, abs=5e-4)


def test_section_6_4_from_a_uniform_policy_the_third_answer_shrinks():
    path = descend(policy(1 / 3, 1 / 3, 1 / 3))
    assert (path[1:, 2] < path[:-1, 2]).all()


def test_what_the_report_shows():
    found = three_actions()
    assert found["end"][2] > 0.8 > found["even_end"][2]
    assert found["loss"]["dpo"] == found["loss"]["ppo"] == 0
