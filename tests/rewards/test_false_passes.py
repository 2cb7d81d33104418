"""Responses that state no answer are right for no rule. `python -m benchmarks.false_passes` is the whole
measurement: 10,000 for each rule.
"""

from __future__ import annotations

import re

import pytest

from pipelines.rewards.reward_params import JUDGE
from pipelines.seams import load
from tests.rewards.no_answers import REFERENCES, no_answers, passes

COUNT = 600


@pytest.mark.parametrize("rule", REFERENCES)
def test_what_states_no_answer_passes_for_no_rule(rule: str):
    assert passes(rule, no_answers(rule, COUNT)) == []


def test_every_rule_is_measured():
    rules = {name for name in JUDGE.names() if not hasattr(load("pipelines.rewards", name), "make_judge")}
    assert rules <= set(REFERENCES)


def test_the_responses_are_many_and_hold_their_references():
    made = no_answers("math_answer", 2000)
    assert len(set(made)) > 1800
    assert sum(reference in text for text, reference in made) > 1000
    assert made == no_answers("math_answer", 2000)


def test_a_case_or_a_hedge_states_no_answer_in_any_rule():
    made = [
        ("There are several cases. In case 1 we get 4. In case 2 we get 74.9.", "74.9"),
        ("~~The answer is 5.~~", "5"),
    ]
    for rule in ("math_answer", "containment", "substring", "jaccard"):
        assert passes(rule, made) == [], rule


def test_no_response_is_a_quotient_that_is_its_reference():
    made = [pair for seed in (2, 4) for pair in no_answers("math_answer", 10_000, seed)]
    assert not [
        text for text, key in made if re.search(rf"{re.escape(key)} / (?:1|\\frac{{(\d)}}{{\1}})\.?$", text)
    ]
