"""Option letters, and the paper's rules: containment and Jaccard (reward_bridge.md 3.1, 8.2, 9.20 and
9.21).
"""

import pytest

from pipelines.rewards.answers.words import words
from pipelines.rewards.rules import containment, jaccard, multiple_choice, substring
from pipelines.rewards.rules.jaccard import similarity
from pipelines.rewards.scoring import CheckerFailed, preflight


@pytest.mark.parametrize(
    ("text", "answer", "outcome"),
    [
        ("#### B", "B", "right"), ("The answer is (B).", "B", "right"), (r"\boxed{\text{B}}", "(B)", "right"), ("B. because cats", "B", "right"),
        ("答案：B", "B", "right"), ("选B", "B", "right"), ("Option C", "C", "right"), ("b", "B", "right"), ("B: Article 5", "B", "right"),
        ("Answer: **D**", "D", "right"), ("A or B", "B", "wrong"), ("B, C", "B", "wrong"), ("A", "B", "wrong"), ("Because", "B", "wrong"),
        ("", "B", "wrong"), ("#### A\n#### B", "B", "wrong"), ("B", "Brussels", "error"), ("B", "", "error"), ("x" * 100_000, "B", "wrong"),
    ],
)  # fmt: skip
def test_multiple_choice(text, answer, outcome):
    assert multiple_choice.check(text, answer, True).outcome == outcome


def test_jaccard_identity_20():
    line = "Therefore, the answer is western blot"
    assert similarity(words("western blot"), words(line)) == pytest.approx(1 / 3)
    assert containment.check(line, "western blot", True).outcome == "right"
    verdict = jaccard.check(f"steps\n{line}\n", "western blot", True)
    assert (verdict.outcome, round(verdict.score, 4)) == ("wrong", 0.3333)
    assert similarity([], []) == 0
    assert jaccard.check("blot western", "Western blot", True).score == 1


def test_containment_identity_21():
    assert substring.check("A: 12", "2", True).outcome == "right"
    assert containment.check("A: 12", "2", True).outcome == "wrong"
    assert containment.check("A: 2", "2", True).outcome == "right"
    assert containment.check("2\nA: 3", "2", True).outcome == "wrong"  # the last line only
    assert containment.check("A: 1,234", "1234", True).outcome == "right"


def test_words_take_chinese_characters_one_by_one():
    assert words("蛋白质 is Protein, 1,234!") == ["蛋", "白", "质", "is", "protein", "1234"]


@pytest.mark.parametrize("rule", [containment, jaccard, substring])
def test_bad_input(rule):
    assert rule.check("x", "", True).outcome == "error"
    assert rule.check("", "x", True).outcome == "wrong"
    assert rule.check("\n \n", "x", True).outcome == "wrong"
    assert rule.check("x", "x", False).outcome == "wrong"
    assert rule.check("y " * 50_000 + "x", "x", True).outcome in ("right", "wrong")
    assert rule.check("\ud800", "x", True).outcome == "wrong"


def test_preflights():
    phrases = [("s", "western blot"), ("s", "gel electrophoresis"), ("s", "12"), ("s", "2")]
    preflight(containment.check, containment.respond, phrases)
    # two problems with one answer
    preflight(containment.check, containment.respond, [("s", "no, pigs may not")] * 2)
    preflight(jaccard.check, jaccard.respond, phrases)
    preflight(multiple_choice.check, multiple_choice.respond, [("s", "A"), ("s", "B")])
    with pytest.raises(CheckerFailed, match="right where s has '2'"):
        preflight(substring.check, substring.respond, [("s", "2"), ("s", "12")])
