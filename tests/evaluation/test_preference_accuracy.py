"""Order of held-out pairs: accuracy over prompts, margins, calibration, implicit rewards."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.evaluation.accuracy import wilson
from pipelines.evaluation.assessment_params import RewardReportParams
from pipelines.evaluation.calibration import calibration, sigmoid, temperature
from pipelines.evaluation.implicit import implicit_accuracy, implicit_rewards
from pipelines.evaluation.intervals import mean_of, share_of
from pipelines.evaluation.reward_accuracy import preference_accuracy, reward_report

SETTINGS = RewardReportParams()


@dataclass(frozen=True)
class Two:
    id: str
    group: str
    source: str = "made"
    prompt_ids: list[int] = field(default_factory=lambda: [4, 5])
    chosen_ids: list[int] = field(default_factory=lambda: [6, 2])
    rejected_ids: list[int] = field(default_factory=lambda: [7, 7, 2])


def pairs(count, prompts=None, sources=("made",)):
    return [
        Two(f"p{place}", f"g{place % (prompts or count)}", sources[place % len(sources)])
        for place in range(count)
    ]


def test_identity_7_score_one_against_zero():
    """dpo_vs_ppo.md 9.2.7: P 0.731059, loss 0.313262; scores (3, 2) give the same."""
    for scores in ((1.0, 0.0), (3.0, 2.0)):
        figures = preference_accuracy(pairs(1), *([score] for score in scores), SETTINGS)["calibration"]
        assert figures["log_loss"] == pytest.approx(0.313262, abs=1e-6)
        assert figures["bins"][0]["confidence"] == pytest.approx(0.731059, abs=1e-6)
        assert figures["brier"] == pytest.approx((1 - 0.731059) ** 2, abs=1e-6)


def test_accuracy_counts_ties_half_and_intervals_go_over_prompts():
    figures = preference_accuracy(
        pairs(8, prompts=4), [1, 1, 1, 1, 0, 0, 0, 1], [0, 0, 0, 1, 0, 1, 1, 0], SETTINGS
    )
    assert figures["accuracy"]["share"] == (4 + 0.5 * 2) / 8
    assert (figures["ties"], figures["pairs"], figures["prompts"]) == (2, 8, 4)
    assert (figures["accuracy"]["low"], figures["accuracy"]["high"]) == wilson(0.625 * 4, 4)
    assert figures["margin"]["mean"] == pytest.approx((1 + 1 + 1 + 0 + 0 - 1 - 1 + 1) / 8)


def test_scores_that_know_nothing_are_right_half_of_the_time():
    figures = preference_accuracy(pairs(10), [0.0] * 10, [0.0] * 10, SETTINGS)
    assert figures["accuracy"]["share"] == 0.5
    assert figures["calibration"]["ece"] == 0


def test_by_source():
    figures = preference_accuracy(pairs(6, sources=("hh", "xstest")), [1, 0] * 3, [0, 1] * 3, SETTINGS)
    assert {name: part["accuracy"]["share"] for name, part in figures["by_source"].items()} == {
        "hh": 1.0,
        "xstest": 0.0,
    }


def test_a_broken_score_names_its_pair():
    with pytest.raises(ValueError, match="pair p1"):
        preference_accuracy(pairs(2), [0.0, float("nan")], [0.0, 0.0], SETTINGS)


@settings(max_examples=20)
@given(st.floats(0.2, 5), st.integers(0, 2**32 - 1))
def test_a_temperature_that_was_put_in_is_found(scale, seed):
    """Labels drawn from sigma(m): margins scaled by `scale` need about that temperature; and scaling scales
    it exactly.
    """
    generator = np.random.default_rng(seed)
    true = generator.normal(0, 1.5, 4000)
    margins = np.where(generator.random(4000) < sigmoid(true), true, -true)
    found = temperature(margins)
    assert found == pytest.approx(1, rel=0.25)
    assert temperature(margins * scale) == pytest.approx(found * scale, rel=1e-6)


def test_temperature_is_none_where_no_finite_one_is_best():
    assert temperature(np.array([1.0, 2.0])) is None
    assert temperature(np.array([1.0, -2.0])) is None


@given(st.lists(st.floats(-8, 8), min_size=1, max_size=60), st.integers(1, 20))
def test_calibration_bins_hold_every_pair_once(margins, bins):
    figures = calibration(np.array(margins), bins)
    assert sum(row["n"] for row in figures["bins"]) == len(margins)
    assert 0 <= figures["ece"] <= 1
    assert all(row["low"] - 1e-12 <= row["confidence"] <= row["high"] + 1e-12 for row in figures["bins"])


def test_calibration_of_a_sure_model_that_is_right_half_of_the_time():
    figures = calibration(np.array([20.0, -20.0] * 10), 10)
    assert figures["ece"] == pytest.approx(0.5, abs=1e-6)
    assert figures["brier"] == pytest.approx(0.5, abs=1e-6)


def test_implicit_reward_of_identity_2():
    """dpo_vs_ppo.md 9.2.2: log pi_w -10, ref_w -12, log pi_l -11, ref_l -11, beta 0.1 -> loss 0.598139."""
    policy, reference = np.array([[-10.0, -11.0]]), np.array([[-12.0, -11.0]])
    assert implicit_rewards(policy, reference, 0.1) == pytest.approx(np.array([[0.2, 0.0]]))
    figures = implicit_accuracy(pairs(1), policy, reference, 0.1, SETTINGS)
    assert figures["accuracy"]["share"] == 1.0
    assert figures["calibration"]["log_loss"] == pytest.approx(0.598139, abs=1e-6)


def test_implicit_reward_at_the_reference_is_a_tie():
    same = np.array([[-3.0, -4.0], [-1.0, -7.0]])
    figures = implicit_accuracy(pairs(2), same, same, 0.1, SETTINGS)
    assert (figures["accuracy"]["share"], figures["ties"]) == (0.5, 2)
    with pytest.raises(ValueError, match="shapes"):
        implicit_rewards(same, same[:1], 0.1)


def test_the_report_scores_both_answers_of_every_pair_however_they_are_cut():
    def count(rows):
        return torch.tensor([float(len(row.ids)) for row in rows])

    reports = [reward_report(count, pairs(5), SETTINGS, budget) for budget in (1, 12, 1000)]
    assert reports[0] == reports[1] == reports[2]
    assert (reports[0]["chosen"], reports[0]["rejected"], reports[0]["accuracy"]["share"]) == (2.0, 3.0, 0.0)
    with pytest.raises(ValueError, match="heldout_share"):
        reward_report(count, [], SETTINGS, 10)


def test_share_and_mean_with_repeated_draws():
    assert share_of([1.0, 0.0, 1.0, 0.0] * 10, list("abcd") * 10)["low"] == pytest.approx(wilson(2, 4)[0])
    narrow, wide = mean_of([0.0, 1.0] * 50), mean_of([0.0, 1.0] * 50, ["a", "b"] * 50)
    assert wide["low"] < narrow["low"] < 0.5 < narrow["high"] < wide["high"]
    assert mean_of([]) == {"n": 0, "mean": None, "low": None, "high": None}
    with pytest.raises(ValueError, match="value 1 of 2"):
        mean_of([0.0, float("inf")])
    assert mean_of([0.1, 0.7, 0.4], seed=3) == mean_of([0.1, 0.7, 0.4], seed=3)


def test_the_bootstrap_covers_the_mean():
    """95 % intervals of 40 normal values hold the mean in about 95 of 100 cases (the percentile interval is a
    little narrow).
    """
    generator = np.random.default_rng(0)
    found = [mean_of(generator.normal(1.0, 2.0, 40).tolist()) for _ in range(200)]
    assert 0.88 <= np.mean([one["low"] <= 1.0 <= one["high"] for one in found]) <= 0.99
