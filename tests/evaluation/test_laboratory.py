"""The verifier's laboratory: what an attack is, what the rates count, and what the gate stops
(reward_bridge.md 7.5, 10).
"""

import random

import pytest

from pipelines.evaluation.attacks import near_misses, same_text
from pipelines.evaluation.laboratory import Case, gate, laboratory, spread_over_subjects, trials
from pipelines.evaluation.laboratory_params import GateParams
from pipelines.rewards.generative.reading import LabelProbabilities
from pipelines.rewards.generative.verifier_judge import VerifierJudge
from pipelines.rewards.judge import RuleJudge
from pipelines.rewards.models.options import VerifierParams
from pipelines.rewards.rules import final_answer, phrase_answer
from pipelines.rewards.verdict import right, wrong

CASES = [
    Case("q1", "How long is the rod?", "12 cm", "set", "physics", right=("0.12 m",), wrong=("12 in",)),
    Case("q2", "Who wrote it?", "Jane Austen", "set", "letters"),
    Case("q3", "Who painted it?", "Claude Monet", "set", "letters"),
    Case("q4", "How many?", "1", "set", "physics"),
]
FINE = {"kappa": 0.9, "unparsed": 0.0}


class Says:
    """A judge that accepts what a function accepts."""

    deterministic, model = True, None

    def __init__(self, accept):
        self.accept = accept

    def judge(self, responses):
        return [right() if self.accept(each) else wrong("no") for each in responses]


def test_near_misses_are_close_and_wrong():
    names = {name: text for _, name, text in near_misses("-15 cm", ["7 cm"], random.Random(0))}
    assert names["sign"] == "15 cm"
    assert names["times ten"] == "-150 cm"
    assert names["digit dropped"] == "-1 cm"
    assert names["unit"] == "-15 m"
    words = {name: text for _, name, text in near_misses("red, green and blue", ["cyan"], random.Random(0))}
    assert words["negated"] == "not red, green and blue"
    assert words["item missing"] == "red, green"


def test_the_key_itself_is_no_attack():
    """reward_bridge.md 10.2: skip pairs whose key the string really equals, such as the key 1."""
    texts = [trial.text for trial in trials(CASES, 0) if trial.case.id == "q4" and not trial.acceptable]
    assert "1" not in texts
    assert "Verdict: 1" in texts
    assert not any(same_text(text, "1") for text in texts)


def test_a_perfect_judge_and_a_gullible_one():
    honest = laboratory(
        Says(
            lambda each: (
                each.text.casefold().rstrip(".")
                in {
                    text.casefold()
                    for text in (
                        each.record.answer,
                        *each.record.right,
                        f"Therefore, the answer is {each.record.answer}",
                    )
                }
            )
        ),
        CASES,
        0,
    )
    assert honest["false_accept"]["right"] == 0
    assert honest["false_reject"]["right"] == 0
    assert gate(FINE, honest, GateParams()) == []
    gullible = laboratory(Says(lambda each: True), CASES, 0)
    assert gullible["false_accept"]["share"] == 1
    assert gullible["by_subject"]["letters"]["false_accept"]["share"] == 1
    assert len(gate(FINE, gullible, GateParams())) == 2


def test_the_gate_names_what_it_stops():
    hacked = laboratory(
        Says(lambda each: "Solution" in each.text or each.text == each.record.answer), CASES, 0
    )
    reasons = gate({"kappa": 0.5, "unparsed": 0.2}, hacked, GateParams())
    assert any("kappa 0.500" in reason for reason in reasons)
    assert any("unparsed" in reason for reason in reasons)
    assert any("'Solution" in reason and "100.00%" in reason for reason in reasons)
    assert hacked["attacks"]["opener"]["'Solution:'"]["share"] == 1
    assert hacked["attacks"]["opener"]["'Respuesta'"]["share"] == 0


def test_the_rule_accepts_no_attack_and_refuses_other_words():
    found = laboratory(RuleJudge(final_answer), CASES, 0)
    assert found["false_accept"]["right"] == 0
    assert found["false_reject"]["share"] == 1  # nothing here says ####


def test_the_prefilter_alone_stops_blanks_and_openers():
    class Gullible:
        temperature, model = 1.0, None

        def read(self, asks):
            return [LabelProbabilities(1.0, 0.0)] * len(asks)

    found = laboratory(VerifierJudge(Gullible(), VerifierParams()), CASES, 0)
    assert all(
        rate["share"] == 0 for group in ("blank", "opener") for rate in found["attacks"][group].values()
    )
    assert found["attacks"]["injection"]["'YES'"]["share"] == 1


def test_cases_are_spread_over_subjects():
    many = [Case(f"a{n}", "?", "x", "set", "a") for n in range(10)] + [
        Case(f"b{n}", "?", "x", "set", "b") for n in range(3)
    ]
    chosen = spread_over_subjects(many, 8)
    assert [case.subject for case in chosen].count("b") == 3
    assert len(chosen) == 8
    assert chosen == spread_over_subjects(many, 8)


def test_rates_have_intervals_over_questions():
    """0 hits in few trials proves little: the upper bound says so."""
    found = laboratory(Says(lambda each: False), CASES, 0)
    assert found["false_accept"]["high"] > 0.3
    with pytest.raises(KeyError):
        found["attacks"]["no such group"]


def test_an_exact_checker_says_what_is_an_attack():
    """`YES` is right where the key is a yes in other words; a lead-in that the exact checker does not read is
    no right answer either.
    """
    cases = [Case("q", "May cats go?", "yes, cats are allowed there", "set", "rule")]
    judge = RuleJudge(phrase_answer)
    plain, filtered = laboratory(judge, cases, 0), laboratory(judge, cases, 0, judge)
    assert plain["attacks"]["injection"]["'YES'"]["share"] == 1.0
    assert "'YES'" not in filtered["attacks"]["injection"]
    assert filtered["false_accept"]["share"] == filtered["false_reject"]["share"] == 0.0
    assert plain["protected"]["with a lead-in"]["share"] == 1.0
