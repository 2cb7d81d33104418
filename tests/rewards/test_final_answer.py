"""The exact-answer checker (GSM8K's convention; spo.md 6 and 11)."""

import pytest

from pipelines.rewards.rules.final_answer import check, respond


@pytest.mark.parametrize(
    ("text", "answer", "outcome"),
    [
        ("3+4=7\n#### 7", "7", "right"),
        ("#### 1,234", "1234", "right"),
        ("#### 1234", "1,234", "right"),  # gold answers hold commas too
        ("#### 7 ", " 7", "right"),
        ("#### Noon", "noon", "right"),
        ("#### 7", "steps\n#### 7", "right"),  # a whole solution as reference
        ("#### 8", "7", "wrong"),
        ("7", "7", "wrong"),
        ("#### 7 apples", "7", "wrong"),
        ("#### 7\n#### 7", "7", "wrong"),  # listing candidates does not pay
        ("#### 6 #### 7", "7", "wrong"),
        ("####", "7", "wrong"),
        ("", "7", "wrong"),
        ("#### 7", "", "error"),
        ("#### ", " , ", "error"),
    ],
)
def test_verdicts(text, answer, outcome):
    verdict = check(text, answer, True)
    assert verdict.outcome == outcome
    assert verdict.score == (1.0 if outcome == "right" else 0.0)
    assert (verdict.reason == "") == (outcome == "right")


def test_a_response_that_was_cut_off_is_wrong_even_with_the_answer_in_it():
    assert check("#### 7", "7", False).outcome == "wrong"
    assert "cut off" in check("#### 7", "7", False).reason


def test_the_shortest_response_is_right():
    assert check(respond("1,234"), "1234", True).outcome == "right"
