"""Weighted sums of rewards: the figures, what does not apply, what fails, and which settings are refused."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.rewards.judge import judge_of
from pipelines.rewards.own.sum import SumJudge
from pipelines.rewards.own.sum_params import SumParams
from pipelines.rewards.reward_params import JudgeParams
from pipelines.rewards.scoring import part_means
from pipelines.rewards.verdict import NOT_APPLICABLE, Verdict, applies, error
from pipelines.settings import OWN, seam_modules
from tasks.judge_params import check_judge, with_judge
from tests.rewards.own_made import TRL, lay, question, responses

RULES = {"parts": {"a": {"reward": "final_answer"}, "b": {"reward": "math_answer", "weight": 0.5}}}


def summed(columns: dict[str, list[Verdict]], weights: dict[str, float], **options) -> list[Verdict]:
    """What the sum says where its parts have said `columns`."""
    parts = {name: {"reward": "final_answer", "weight": weights.get(name, 1.0)} for name in columns}
    judges = {
        name: SimpleNamespace(judge=lambda _, said=said: said, rule=True, deterministic=True, model=None)
        for name, said in columns.items()
    }
    count = len(next(iter(columns.values())))
    return SumJudge(judges, SumParams(parts=parts, **options)).judge(responses(question(), *["x"] * count))


scores = st.floats(-10, 10)


@given(st.lists(st.tuples(st.one_of(st.none(), scores), scores), min_size=1, max_size=6))
def test_a_sum_is_trls_nansum_where_a_part_applies(rows):
    """`(rewards_per_func * weights).nansum(dim=1)`."""
    names = [f"r{index}" for index in range(len(rows))]
    said = {
        name: [error(NOT_APPLICABLE) if score is None else Verdict("right", score)]
        for name, (score, _) in zip(names, rows, strict=True)
    }
    weights = {name: weight or 1.0 for name, (_, weight) in zip(names, rows, strict=True)}
    (verdict,) = summed(said, weights)
    applying = [
        (score, weights[name]) for name, (score, _) in zip(names, rows, strict=True) if score is not None
    ]
    assert applies(verdict) == bool(applying)
    assert math.isclose(verdict.score, sum(score * weight for score, weight in applying), abs_tol=1e-9)
    assert dict(verdict.parts) == {n: s for n, (s, _) in zip(names, rows, strict=True) if s is not None}


def test_an_error_of_a_part_is_one_of_the_sum():
    good, bad = Verdict("right", 1.0, "fine"), error("down")
    first, second = summed({"a": [good, good], "b": [good, bad]}, {"b": 2.0})
    assert first == Verdict("right", 3.0, "a: fine; b: fine", (("a", 1.0), ("b", 1.0)))
    assert second == Verdict("error", 0.0, "b: down", (("a", 1.0),))


def test_one_part_may_decide_what_is_right():
    said = {"correct": [Verdict("wrong", 0.0), error(NOT_APPLICABLE)], "form": [Verdict("right", 1.0)] * 2}
    assert [v.outcome for v in summed(said, {})] == ["right", "right"]
    assert [v.outcome for v in summed(said, {}, decides="correct")] == ["wrong", "right"]
    assert [v.outcome for v in summed(said, {}, threshold=1.0)] == ["wrong", "wrong"]


def test_rules_and_functions_together(tmp_path, monkeypatch):
    lay(tmp_path, monkeypatch, trl_rewards=TRL)
    reward = SumParams(
        parts={
            "correct": {"reward": "final_answer", "weight": 2.0},
            "length": {"reward": "trl_rewards.py:token_length", "weight": 0.1},
            "maths": {"reward": {"kind": "function", "path": "trl_rewards.py:math_only"}},
        }
    )
    judge = judge_of(reward, SimpleNamespace())
    assert (judge.rule, judge.deterministic, judge.model) == (False, False, None)
    verdicts = judge.judge(responses(question(task="code"), "#### 4", "#### 5"))
    assert [verdict.score for verdict in verdicts] == pytest.approx([1.4, -0.6])
    assert part_means(verdicts) == {
        "rewards/correct": 0.5, "rewards/length": -6.0, "rewards/length/longest": 6.0
    }  # fmt: skip
    named = list(seam_modules(JudgeParams(reward=reward)))
    assert {"pipelines.rewards.rules.final_answer", f"{OWN}trl_rewards.py"} <= set(named)


def test_rules_alone_make_a_rule_that_is_tried_as_each_of_them(monkeypatch):
    judge = judge_of(SumParams(**RULES), SimpleNamespace())
    assert (judge.rule, judge.deterministic) == (True, False)
    judge.preflight([question("4"), question("5")])


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"parts": {}}, "at least 1"),
        ({"parts": {"a b": {"reward": "final_answer"}}}, "pattern"),
        ({"parts": {"a": {"reward": "final_anser"}}}, "no module .*final_anser"),
        ({"parts": {"a": {"reward": "final_answer", "weight": 0}}}, "every weight is 0"),
        ({"parts": {"a": {"reward": {"kind": "sum", **RULES}}}}, "parts.a is a sum itself"),
        ({**RULES, "decides": "c"}, "decides: c is none of the parts a, b"),
        (
            {"parts": {"a": {"reward": "verifier"}, "b": {"reward": "reward_model"}}},
            "a and b ask models of runs",
        ),
    ],
)
def test_contradictions_are_refused(settings, reason):
    with pytest.raises(ValidationError, match=reason):
        SumParams(**settings)


def test_the_judge_of_a_run_is_that_of_the_part_that_asks_one():
    asked = with_judge({"kind": "sum", "parts": {"v": {"reward": "verifier"}, **RULES["parts"]}}, "teacher")
    reward = JudgeParams(reward=asked).reward
    assert (reward.model, reward.asks_run.kind) == ("teacher", "verifier")
    check_judge(reward, "teacher")
    with pytest.raises(ValueError, match="the reward verifier asks a model"):
        check_judge(reward, "none")
    with pytest.raises(ValueError, match="asks no model"):
        check_judge(SumParams(**RULES), "teacher")
