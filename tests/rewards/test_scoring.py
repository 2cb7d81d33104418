"""Errors are counted and limited, never silently wrong answers; the preflight finds a checker that misjudges
known answers.
"""

import pytest

from pipelines.rewards.rules import final_answer
from pipelines.rewards.scoring import CheckerFailed, preflight, score
from pipelines.rewards.verdict import right, wrong


def crashing(text, answer, finished):
    return [][0] if text == "bad" else right()


def test_a_crash_is_an_error_verdict_with_its_reason():
    verdicts = score(crashing, [("good", "1", True), ("bad", "1", True)], 0.5)
    assert [verdict.outcome for verdict in verdicts] == ["right", "error"]
    assert "IndexError" in verdicts[1].reason


def test_too_many_errors_stop_and_name_the_commonest():
    with pytest.raises(CheckerFailed, match=r"2 of 3 verdicts .* limit of 50% .*IndexError"):
        score(crashing, [("good", "1", True), ("bad", "1", True), ("bad", "1", True)], 0.5)


def test_preflight_passes_the_exact_answer_checker():
    preflight(
        final_answer.check, final_answer.respond, [("a", "1"), ("a", "1"), ("a", "1,000"), ("b", "noon")]
    )


def test_preflight_names_the_source_whose_gold_answers_fail():
    with pytest.raises(CheckerFailed, match="gold answer '' of b error"):
        preflight(final_answer.check, final_answer.respond, [("a", "1"), ("b", "")])


def test_preflight_refuses_a_checker_that_accepts_anything():
    with pytest.raises(CheckerFailed, match=r"'2' right where a has '1'|right where a"):
        preflight(lambda text, answer, finished: right(), final_answer.respond, [("a", "1"), ("a", "2")])
    with pytest.raises(CheckerFailed, match="gold answer '1' of a wrong"):
        preflight(lambda text, answer, finished: wrong("no"), final_answer.respond, [("a", "1"), ("a", "2")])
