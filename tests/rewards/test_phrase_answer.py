"""The exact checker of the embedded multi-subject set: forms that say the same, near misses that do not, and
what rules make of both.
"""

import json
import statistics
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.corpora.cleaning.split import Shares
from pipelines.corpora.raw.ledger import Ledger
from pipelines.corpora.raw.problem import Reading
from pipelines.corpora.readers import phrases
from pipelines.corpora.readers.options import PhrasesSource
from pipelines.rewards.rules import containment, jaccard, phrase_answer
from pipelines.rewards.rules.math_answer import check_many
from pipelines.rewards.rules.phrase_answer import Meaning, matches, parse_reference
from pipelines.rewards.rules.phrase_variants import near_misses, number_in_words, paraphrases
from pipelines.rewards.scoring import preflight

ROOT = Path(__file__).resolve().parents[2]
SOURCE = {"reader": "phrases", "n_sft": 150, "n_rl": 150, "n_validation": 60, "n_heldout": 100}


def drawn(seed=0, root=ROOT / "raw/phrases", **changes):
    ledger = Ledger("phrases")
    source = PhrasesSource.model_validate(SOURCE | changes)
    return list(phrases.read(source, Reading(root, "phrases", seed, Shares(0.1, 0.15), ledger)))


@pytest.fixture(scope="module")
def problems():
    return drawn()


@pytest.mark.parametrize(
    ("reference", "right", "wrong"),
    [
        ("Eva has the pen", ["Eva", "The pen is with Eva.", "eva has it"], ["Ben", "not Eva", "Eva or Ben", "Eva has the book", "Eva gives the pen", ""]),
        ("first the dam, then the inn", ["dam, inn", "dam before inn", "inn after dam"], ["inn, dam", "inn before dam", "dam", "dam, inn, mill", "first the inn after the dam"]),
        ("twelve coins", ["12 coins", "12", "it costs twelve coins"], ["21 coins", "12 shells", "12 or 13 coins", "-12 coins", "about 12 coins"]),
        ("forty-two coins", ["42 coins", "forty two coins", "forty-two"], ["forty coins", "two coins"]),
        ("no, dogs are not allowed there", ["no", "dogs are forbidden there", "No, that is not allowed."], ["yes", "no, dogs are allowed there", "cats are not allowed there", "yes and no"]),
        ("yes, cats are allowed there", ["yes", "that is allowed"], ["no", "yes, cats are not allowed there", "maybe"]),
        ("both need corn and sun", ["sun and corn", "they need sun, corn"], ["sun", "sun, corn and water", "corn or sun", "both do not need corn and sun"]),
    ],
)  # fmt: skip
def test_worked_labels(reference, right, wrong):
    for text in [reference, *right]:
        assert matches("q", reference, f"steps\n#### {text}"), text
        assert matches("q", reference, f"steps\n{text}"), text
    for text in wrong:
        assert not matches("q", reference, f"#### {text}"), text
    assert not matches("q", reference, f"#### {reference}\n#### {reference}")


def test_every_variant_of_every_problem_is_labelled(problems):
    rng = Random(0)
    for problem in problems:
        assert parse_reference(problem.answer) is not None
        right, wrong = paraphrases(problem.answer), near_misses(problem.question, problem.answer, rng)
        assert len(right) >= 3
        assert len(wrong) >= 3
        assert all(matches(problem.question, problem.answer, text) for text in right)
        assert not any(matches(problem.question, problem.answer, text) for text in wrong)
    preflight(
        phrase_answer.check, phrase_answer.respond, [("phrases", problem.answer) for problem in problems]
    )


def test_rules_and_exact_labels_differ(problems):
    """What the set is for: words in common tell right from wrong badly, and paraphrases escape containment
    and the strong rule.
    """
    rng = Random(1)
    rows, truth = [], []
    for problem in problems[:200]:
        for text in (
            rng.choice(paraphrases(problem.answer)[1:]),
            rng.choice(near_misses(problem.question, problem.answer, rng)),
        ):
            rows.append((text, problem.answer, True))
            truth.append(matches(problem.question, problem.answer, text))
    assert 0.4 < statistics.fmean(truth) < 0.6
    for verdicts in ([containment.check(*row) for row in rows], check_many(rows)):
        recall = statistics.fmean(
            verdict.outcome == "right" for verdict, fact in zip(verdicts, truth, strict=True) if fact
        )
        assert recall < 0.75
    scores = [jaccard.check(*row).score for row in rows]
    better = [
        a > b
        for a, good in zip(scores, truth, strict=True)
        if good
        for b, bad in zip(scores, truth, strict=True)
        if not bad
    ]
    assert statistics.fmean(better) < 0.75


def test_determinism_and_roles(problems):
    assert problems == drawn()
    assert problems != drawn(seed=1)
    more = drawn(n_rl=300)
    assert [p for p in more if p.role == "sft"] == [p for p in problems if p.role == "sft"]
    keys = {
        role: {p.key for p in problems if p.role in role}
        for role in (("sft", "rl"), ("validation",), ("heldout",))
    }
    sides = list(keys.values())
    assert all(sides)
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    demonstrations = [p for p in problems if p.role == "sft"]
    assert all(phrase_answer.check(p.solution, p.answer, True).outcome == "right" for p in demonstrations)
    assert 0.3 < statistics.fmean(p.meta["terse"] for p in demonstrations) < 0.7
    assert {p.meta["field"] for p in problems} == {"stem", "social_sciences", "humanities"}


def test_unseen_subjects_are_only_put_aside():
    found = drawn(unseen=["both"])
    assert {p.subject for p in found if p.role in ("sft", "rl")} == {"holder", "order", "amount", "rule"}
    assert "both" in {p.subject for p in found if p.role == "heldout"}
    with pytest.raises(ValueError, match="unseen names every subject"):
        PhrasesSource.model_validate(SOURCE | {"unseen": ["holder", "order", "amount", "rule", "both"]})


def test_bad_lexicon(tmp_path):
    (tmp_path / "lexicon.jsonl").write_text(json.dumps({"kind": "name", "word": "Ann"}) + "\n")
    with pytest.raises(ValueError, match=r"lexicon\.jsonl holds fewer than 5 words .* name, thing"):
        drawn(root=tmp_path)
    with pytest.raises(ValueError, match=r"only \d+ different validation problems exist"):
        drawn(subjects=["amount"], rl_levels=[1], n_heldout=50_000)


def test_references_of_no_known_form():
    assert parse_reference("the answer is 5") is None
    assert phrase_answer.check("#### x", "the answer is 5", True).outcome == "error"
    with pytest.raises(ValueError, match="none of the forms"):
        matches("q", "the answer is 5", "x")
    assert phrase_answer.check("#### Eva", "Eva has the pen", False).outcome == "wrong"
    assert phrase_answer.check("x" * 100_000, "Eva has the pen", True).outcome == "wrong"


@given(st.integers(0, 99))
def test_number_words(value):
    assert parse_reference(f"{number_in_words(value)} coins") == Meaning("amount", (str(value), "coins"))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_no_text_breaks_the_checker(text):
    for reference in (
        "Eva has the pen",
        "first the dam, then the inn",
        "twelve coins",
        "yes, cats are allowed there",
        "both need sun",
    ):
        assert phrase_answer.check(text, reference, True).outcome in ("right", "wrong")
