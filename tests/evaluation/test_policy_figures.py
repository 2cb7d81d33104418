"""KL, out-of-distribution mass, degenerate answers, safety rate."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation.accuracy import wilson
from pipelines.evaluation.assessment_params import AssessParams, DegenerateParams
from pipelines.evaluation.degenerate import degenerate_rate, faults, loops
from pipelines.evaluation.policy_divergence import kl_from_reference, out_of_distribution, uncovered_mass
from pipelines.evaluation.safety import safe_by_cost, safety_rate

LOOPS = DegenerateParams()


def test_identity_29_kl_from_samples_without_clamping():
    """p (.6,.4), q (.5,.5): E_p[log p/q] = .020136; single-token terms .182322 and -.223144."""
    own = [math.log(0.6)] * 6 + [math.log(0.4)] * 4
    found = kl_from_reference(own, [math.log(0.5)] * 10, [1] * 10, [f"p{place}" for place in range(10)])
    assert found["sequence"]["mean"] == pytest.approx(0.020136, abs=1e-6)
    assert found["sequence"]["low"] < 0 < found["sequence"]["high"]
    assert found["token"]["mean"] == found["sequence"]["mean"]


def test_kl_per_token_weighs_answers_by_their_length():
    found = kl_from_reference([-1.0, -8.0], [-2.0, -8.0], [1, 9], ["a", "b"])
    assert (found["sequence"]["mean"], found["token"]["mean"]) == (0.5, 0.1)


def test_a_policy_that_is_its_reference_has_one_percent_out_of_distribution():
    logprobs = np.random.default_rng(0).normal(-10, 2, 1000).tolist()
    found = out_of_distribution(
        logprobs, [5] * 1000, logprobs, [5] * 1000, [f"p{place}" for place in range(1000)]
    )
    assert found["share"] == 0.01
    far = out_of_distribution(
        [-40.0] * 20, [5] * 20, logprobs, [5] * 1000, [f"p{place}" for place in range(20)]
    )
    assert (far["share"], far["high"]) == (1.0, 1.0)


def test_uncovered_mass_is_exact():
    policy = np.array([[0.1, 0.2, 0.7], [1.0, 0.0, 0.0]])
    assert uncovered_mass(policy, np.array([[True, True, False], [True, False, False]])) == pytest.approx(
        0.35
    )


@pytest.mark.parametrize(
    ("ids", "text", "finished", "expected"),
    [
        ([5, 6, 7, 1], "ab", True, []),
        ([1], "", True, ["empty"]),
        ([5], " \n", True, ["empty"]),
        ([5, 6], "ab", False, ["unfinished"]),
        ([5, 6] * 8, "abab", False, ["unfinished", "repeated"]),
        ([3, 4, *[5] * 12, 1], "aaa", True, ["repeated"]),
        ([5] * 11, "aaa", True, []),
    ],
)
def test_faults(ids, text, finished, expected):
    assert faults(ids, text, finished, LOOPS) == expected


@given(st.lists(st.integers(0, 2), max_size=24), st.integers(1, 4), st.integers(2, 4), st.integers(2, 9))
def test_loops_are_those_that_a_plain_search_finds(ids, period, repeats, tokens):
    def plain():
        for step in range(1, period + 1):
            for start in range(len(ids)):
                for end in range(start + step, len(ids) + 1):
                    run = ids[start:end]
                    enough = len(run) >= max(step * repeats, tokens)
                    if enough and all(run[place] == run[place - step] for place in range(step, len(run))):
                        return True
        return False

    assert loops(ids, period, repeats, tokens) == plain()


def test_degenerate_rate():
    found = degenerate_rate([["empty"], [], ["unfinished", "repeated"], []], list("abcd"))
    assert (found["share"], found["kinds"]) == (0.5, {"empty": 1, "unfinished": 1, "repeated": 1})


def test_safety_rate_is_the_share_of_costs_below_zero():
    """dpo_vs_ppo.md 3.4 and 7: the boundary is 0, and only below it is safe."""
    safe = safe_by_cost([-1.0, 0.0, 2.0, -0.1])
    assert safe == [True, False, False, True]
    assert (safety_rate(safe)["low"], safety_rate(safe)["high"]) == wilson(2, 4)


def test_an_assessment_samples():
    with pytest.raises(ValueError, match="temperature must be above 0"):
        AssessParams(sampling={"temperature": 0})
