"""The entropy law: its fit, what it predicts, how it goes with size, and how a run's entropy and accuracy are
paired.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation.entropy_law import (
    fit,
    fit_size,
    pairs,
    predict,
    predict_rest,
    progress,
    progress_at,
)

A, B = 0.2, 0.6


def test_identity_31_least_squares_gives_the_coefficients_back():
    accuracies = [0.4, 0.270256, 0.056344]
    law = fit([0, 0.5, 1], B - A * np.exp([0, 0.5, 1]))
    assert predict(law, [0, 0.5, 1]) == pytest.approx(accuracies, abs=1e-6)
    assert (law.a, law.b, law.ceiling) == pytest.approx((A, B, 0.4), abs=1e-12)
    assert law.rmse == pytest.approx(0, abs=1e-12)
    assert law.r2 == pytest.approx(1, abs=1e-12)
    assert law.n == 3


@pytest.mark.parametrize(
    ("entropies", "accuracies", "words"),
    [
        ([0.3, 0.3, 0.3, 0.3], [0.1, 0.2, 0.3, 0.4], "all 4 entropies are 0.3"),
        ([0.3, 0.3 + 1e-13, 0.3], [0.1, 0.2, 0.3], "no slope"),
        ([0.3, 0.2], [0.1, 0.2], "at least 3"),
        ([], [], "at least 3"),
        ([0.3, math.nan, 0.1], [0.1, 0.2, 0.3], r"entropy\[1\] is nan"),
        ([0.3, 0.2, 0.1], [0.1, 0.2, math.inf], r"accuracy\[2\] is inf"),
        ([0.3, 0.2, 0.1], [0.1, 0.2], "one length"),
        ([800.0, 0.2, 0.1], [0.1, 0.2, 0.3], "none of a token's"),
    ],
)
def test_identity_31_what_cannot_be_fitted_says_why(entropies, accuracies, words):
    with pytest.raises(ValueError, match=words):
        fit(entropies, accuracies)


def test_equal_accuracies_leave_nothing_to_explain():
    law = fit([0.1, 0.2, 0.3], [0.4, 0.4, 0.4])
    assert (law.a, law.b) == pytest.approx((0, 0.4))
    assert math.isnan(law.r2)
    assert law.rmse == pytest.approx(0)


@given(
    st.floats(-1, 1),
    st.floats(-1, 1),
    st.lists(st.integers(0, 1000), min_size=3, max_size=30, unique=True),
)
def test_points_of_a_law_give_that_law(a, b, places):
    entropies = np.asarray(places) / 400
    law = fit(entropies, b - a * np.exp(entropies))
    assert (law.a, law.b) == pytest.approx((a, b), abs=1e-9)


def test_least_squares_leaves_no_smaller_error():
    draw = np.random.default_rng(1)
    entropies = draw.uniform(0, 1, 50)
    accuracies = B - A * np.exp(entropies) + draw.normal(0, 0.05, 50)
    law = fit(entropies, accuracies)
    assert law.rmse**2 == pytest.approx(float(np.mean((accuracies - predict(law, entropies)) ** 2)))
    assert law.r2 == pytest.approx(1 - law.rmse**2 / accuracies.var())
    for slip in (-0.01, 0.01):
        for other in (predict(law, entropies) + slip, law.b - (law.a + slip) * np.exp(entropies)):
            assert np.sqrt(np.mean((accuracies - other) ** 2)) > law.rmse


def test_identity_32_the_first_part_of_a_run_predicts_the_rest():
    steps = np.arange(1, 241)
    entropies = 0.02 + 0.6 * np.exp(-steps / 40)
    found = []
    for seed in range(200):
        noise = np.random.default_rng(seed).normal(0, 0.005, 240)
        found.append(predict_rest(entropies, B - A * np.exp(entropies) + noise))
    errors = [forecast.rmse for forecast in found]
    assert {forecast.law.n for forecast in found} == {36}
    assert len(found[0].predicted) == 204
    # the noise of the predicted points themselves is 0.005: the 0.0020 and 0.0065 of entropy.md 7.32 are
    # distances from the noiseless curve
    truth = B - A * np.exp(entropies[36:])
    apart = [float(np.sqrt(np.mean((forecast.predicted - truth) ** 2))) for forecast in found]
    assert max(errors) < 0.01
    assert np.mean(apart) == pytest.approx(0.0020, abs=0.0005)
    assert max(apart) < 0.0075
    assert np.std([forecast.law.a for forecast in found]) == pytest.approx(0.005, abs=0.001)
    assert np.mean([forecast.law.ceiling for forecast in found]) == pytest.approx(0.4, abs=0.001)


def test_a_forecast_knows_its_error_at_the_end():
    entropies = np.linspace(1, 0.1, 20)
    accuracies = B - A * np.exp(entropies)
    accuracies[-1] += 0.03
    forecast = predict_rest(entropies, accuracies, fit_fraction=0.5)
    assert forecast.law.n == 10
    assert forecast.final_error == pytest.approx(0.03)
    assert forecast.rmse == pytest.approx(0.03 / math.sqrt(10))
    assert forecast.law.ceiling == pytest.approx(0.4)


@pytest.mark.parametrize(("count", "share"), [(10, 0.15), (20, 0.99), (2, 0.5)])
def test_a_forecast_needs_pairs_on_both_sides(count, share):
    entropies = np.linspace(1, 0.1, count)
    with pytest.raises(ValueError, match="validate more often"):
        predict_rest(entropies, 1 - entropies, share)


def test_a_forecast_needs_a_share():
    with pytest.raises(ValueError, match="between 0 and 1"):
        predict_rest(np.linspace(1, 0.1, 20), np.linspace(0, 1, 20), 36)


def test_identity_33_coefficients_go_with_the_logarithm_of_the_size():
    sizes = [0.36, 1.31, 2.77, 6.53]
    law = fit_size(sizes, 0.10 + 0.05 * np.log(sizes))
    assert (law.slope, law.intercept) == pytest.approx((0.05, 0.10))
    assert law.at(31.0) == pytest.approx(0.271699, abs=1e-6)


@pytest.mark.parametrize("sizes", [[1.5, 1.5], [1.5], [-1.0, 2.0], [0.0, 2.0]])
def test_one_size_is_no_law_over_sizes(sizes):
    with pytest.raises(ValueError, match="at least two different"):
        fit_size(sizes, [0.1] * len(sizes))


def test_identity_34_consumed_is_the_share_of_the_whole_drop():
    found = progress([0.50, 0.135, 0.00])
    assert found.defined
    assert found.values == pytest.approx([0, 0.73, 1])
    assert progress([0.2, 0.35, 0.4]).values == pytest.approx([0, 0.75, 1])  # gained: the same of a rise


@pytest.mark.parametrize("history", [[0.3, 0.1, 0.3], [0.3], [0.3, math.nan]])
def test_identity_34_no_drop_at_all_is_flagged(history):
    found = progress(history)
    assert not found.defined
    assert np.isnan(found.values).all()


def test_progress_of_nothing():
    with pytest.raises(ValueError, match="empty"):
        progress([])


@given(st.lists(st.floats(0, 10), min_size=2, max_size=20).map(lambda values: sorted(values, reverse=True)))
def test_identity_34_a_falling_entropy_is_consumed_from_0_to_1(history):
    found = progress(history)
    if found.defined:
        assert found.values.min() == 0
        assert found.values.max() == 1
        assert (np.diff(found.values) >= 0).all()
    else:
        assert history[0] == history[-1]


def test_progress_at_a_share_of_the_run_lies_between_validations():
    assert progress_at([0, 6, 12], [0.5, 0.1, 0.0], 1 / 3) == pytest.approx(0.8 * 4 / 6)
    assert progress_at([2, 4, 6], [0.5, 0.1, 0.0], 0.5) == pytest.approx(0.8)
    assert math.isnan(progress_at([0, 6, 12], [0.5, 0.1, 0.5], 1 / 3))


def history(every: int, iterations: int, first: bool = True) -> list[dict[str, float]]:
    """Entropy = the iteration's number / 10; the accuracy of a validation = 100 - its step."""
    rows: list[dict[str, float]] = [{"step": 0, "right": 100}] if first else []
    for step in range(1, iterations + 1):
        rows.append(
            {"step": step, "entropy": step / 10} | ({"right": 100 - step} if step % every == 0 else {})
        )
    return rows


def test_a_pair_holds_the_mean_entropy_of_the_iterations_before_it():
    found = pairs(history(6, 12), "right")
    assert found.steps.tolist() == [0, 6, 12]
    assert found.accuracy.tolist() == [100, 94, 88]
    assert found.entropy == pytest.approx([0.1, (0.3 + 0.4 + 0.5 + 0.6) / 4, (0.9 + 1.0 + 1.1 + 1.2) / 4])


def test_a_window_of_one_takes_the_iteration_alone_and_a_wide_one_what_there_is():
    assert pairs(history(2, 4), "right", window=1).entropy == pytest.approx([0.1, 0.2, 0.4])
    assert pairs(history(2, 4, first=False), "right", window=3).entropy == pytest.approx([0.15, 0.3])
    with pytest.raises(ValueError, match="at least 1"):
        pairs([], "right", window=0)


def test_what_is_no_number_makes_no_pair():
    rows = history(2, 4)
    rows[2]["right"] = math.nan
    rows[3]["entropy"] = math.nan
    found = pairs(rows, "right", window=2)
    assert found.steps.tolist() == [0, 4]
    assert found.entropy == pytest.approx([0.1, 0.4])


@pytest.mark.parametrize("rows", [[], [{"step": 1, "entropy": 0.2}], [{"step": 0, "right": 0.5}]])
def test_a_history_without_entropy_or_validation_has_no_pairs(rows):
    assert len(pairs(rows, "right")) == 0
