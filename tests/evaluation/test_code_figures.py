"""Figures of programs: dpo_vs_ppo.md 9.2.23 and 9.2.24 through sampled answers, and the degenerate rate of
4.3.
"""

from types import SimpleNamespace

import pytest

from pipelines.evaluation.code_figures import code_figures
from pipelines.rewards.code.code_judge import ProgramReport

PASS, FAIL, NO_PYTHON = (
    ProgramReport("pass", True, True, True),
    ProgramReport("wrong", True, False, False),
    ProgramReport("compile_error", False, False, False),
)
SURVIVES, ERROR = ProgramReport("wrong", True, True, False), ProgramReport("sandbox_error", True, True, None)
LUCKY = ProgramReport("pass", True, False, True)  # right, but the public tests are not for it


def answers(problem, programs, text="x = 1", finished=True):
    completion = SimpleNamespace(ids=[5, 6, 7], finish=SimpleNamespace(complete=finished))
    return [
        SimpleNamespace(record=SimpleNamespace(id=problem), text=text, completion=completion)
        for _ in programs
    ]


def figures(*problems, submissions=(1, 2, 5), count_errors=False):
    given = [one for number, programs in enumerate(problems) for one in answers(f"p{number}", programs)]
    return code_figures(
        given, [program for programs in problems for program in programs], submissions, 0, count_errors
    )


def test_identity_23_pass_at_k():
    found = figures([PASS, *[FAIL] * 4])["pass_at_k"]
    assert {k: value["mean"] for k, value in found.items()} == {
        "1": pytest.approx(0.2),
        "2": pytest.approx(0.4),
        "5": 1.0,
    }
    ten = figures([PASS] * 3 + [FAIL] * 7)
    assert ten["pass_at_k"]["5"]["mean"] == pytest.approx(0.916667, abs=1e-6)
    assert figures([FAIL] * 10)["pass_at_k"]["5"]["mean"] == 0
    two = figures([PASS, FAIL], [FAIL, FAIL])
    assert two["pass_at_k"]["1"] == pytest.approx({"n": 2, "mean": 0.25, "low": 0.0, "high": 0.5})
    assert set(two["pass_at_k"]) == {"1", "2"}  # nobody has five samples


def test_identity_24_survivors_of_the_public_tests_are_submitted():
    three = figures([PASS, SURVIVES, SURVIVES, *[FAIL] * 7], submissions=(5,))
    assert three["k_at_n"]["5"]["mean"] == 1.0  # three survivors, one of them right
    # no survivor: unsolved
    assert figures([LUCKY, *[FAIL] * 9], submissions=(5,))["k_at_n"]["5"]["mean"] == 0.0
    assert figures([LUCKY, *[FAIL] * 9], submissions=(5,))["pass_at_k"]["5"]["mean"] == 0.5


def test_errors_are_left_out_or_count_as_failures():
    left_out = figures([PASS, ERROR], [FAIL, FAIL])
    assert (left_out["errors"], left_out["samples"], left_out["pass_at_k"]["1"]["mean"]) == (1, 1, 0.5)
    assert figures([PASS, ERROR], [FAIL, FAIL], count_errors=True)["pass_at_k"]["1"]["mean"] == 0.25
    assert left_out["statuses"] == {"pass": 1, "sandbox_error": 1, "wrong": 2}


def test_the_degenerate_rate():
    programs = [PASS, NO_PYTHON, FAIL, FAIL]
    given = (
        answers("a", [PASS, NO_PYTHON]) + answers("b", [FAIL], "  ") + answers("b", [FAIL], finished=False)
    )
    found = code_figures(given, programs, (1,), 0, False)["degenerate"]
    assert (found["n"], found["right"], found["share"]) == (4, 3, 0.75)
    assert found["kinds"] == {"empty": 1, "unfinished": 1, "repeated": 0, "unparsable": 1}


def test_nothing_judged_is_no_figure():
    assert figures([ERROR])["pass_at_k"] == {}
