"""Deduplication, the split by key and decontamination: no group crosses a split, and the order of the rows
leaves no trace.
"""

import os
import subprocess
import sys
import time
from collections import Counter

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.corpora.cleaning.canonical import canonical_form
from pipelines.corpora.cleaning.clean import clean
from pipelines.corpora.cleaning.contamination import decontaminate
from pipelines.corpora.cleaning.duplicates import exact_duplicates, near_duplicates
from pipelines.corpora.cleaning.portions import over_portions
from pipelines.corpora.cleaning.split import Shares
from pipelines.corpora.corpus_params import CorpusParams, DecontaminateParams, NearParams
from pipelines.corpora.raw.problem import Problem
from tests.corpora.made import ROOT

PARAMS = CorpusParams.model_validate(
    {
        "raw": "raw",
        "sources": {"s": {"reader": "table", "splits": {"train": "x"}}},
        "validation_share": 0.2,
        "heldout_share": 0.3,
        "near": None,
        "decontaminate": {"ngram": None, "near": False},
    }
)
LONG = "a farmer had seven red hens and four white hens and sold three of the white hens to his neighbour on a market day in may"


def problem(question, role="train", key="", answer="1"):
    return Problem(question, answer, role, "s", key=key)


PROBLEMS = st.builds(
    problem,
    st.text("ab12 .", min_size=1, max_size=4).filter(str.strip),
    st.sampled_from(["train", "train", "validation", "heldout", "sft", "rl"]),
    st.sampled_from(["", "k1", "k2", "k3", "k4"]),
    st.sampled_from("12"),
)


@given(st.lists(PROBLEMS, max_size=30), st.randoms())
@settings(max_examples=60)
def test_no_group_crosses_a_split_and_order_leaves_no_trace(problems, random):
    result = clean({"s": problems}, PARAMS)
    aside = {
        "validation": result.rows["validation"],
        "heldout": result.rows["heldout"],
        "train": result.training(),
    }
    for what in (
        lambda row: row.problem.key or canonical_form(row.problem.question),
        lambda row: canonical_form(row.problem.question),
    ):
        sides = {side: {what(row) for row in rows} for side, rows in aside.items()}
        assert not sides["train"] & sides["heldout"]
        assert not sides["train"] & sides["validation"]
        assert not sides["validation"] & sides["heldout"]
    for rows in result.rows.values():
        texts = [canonical_form(row.problem.question) for row in rows]
        assert len(texts) == len(set(texts))
    random.shuffle(problems)
    assert clean({"s": problems}, PARAMS).rows == result.rows


@given(st.lists(st.text("ab1. ,", max_size=5), max_size=20))
def test_exact_duplicates_leave_one_of_each(texts):
    repeated = exact_duplicates(texts)
    kept = [text for place, text in enumerate(texts) if place not in repeated]
    assert Counter(map(canonical_form, kept)) == Counter(set(map(canonical_form, texts)))


def test_shares_are_kept_and_a_key_never_moves():
    sides = Counter(Shares(0.1, 0.2).side(f"key {n}") for n in range(20_000))
    assert abs(sides["heldout"] / 20_000 - 0.2) < 0.01
    assert abs(sides["validation"] / 20_000 - 0.1) < 0.01
    # a larger held-out share only takes keys, it gives none back
    assert all(
        Shares(0.1, 0.3).side(f"key {n}") == "heldout"
        for n in range(2000)
        if Shares(0.1, 0.2).side(f"key {n}") == "heldout"
    )


def test_near_duplicates_are_confirmed_by_their_true_similarity():
    other = LONG.replace("neighbour", "neighbor")
    apart = "tell me how many litres of milk the dairy of this town sells in one week of winter if it sells ninety in one day"
    assert near_duplicates([LONG, apart, other, LONG + "!"], NearParams(threshold=0.7)) == [2, 3]
    assert near_duplicates([LONG, apart, other], NearParams(threshold=0.95)) == []
    assert (
        near_duplicates(
            [LONG, LONG.replace("seven", "eight"), LONG.replace(" to ", " not to ")],
            NearParams(threshold=0.7),
        )
        == []
    )


def test_each_reason_of_contamination_is_counted():
    held = [problem(LONG, "heldout", "k")]
    rows = [
        problem(LONG.upper() + "."),
        problem("another wording", key="k"),
        problem(
            "we know that "
            + " ".join(LONG.split()[5:19])
            + " but nothing else and so we ask for the price of all those eggs at last"
        ),
        problem(LONG.replace("market", "feast").replace("neighbour", "neighbor")),
        problem("clean"),
    ]
    kept, dropped = decontaminate(rows, held, DecontaminateParams(ngram=13), NearParams(threshold=0.6))
    assert [row.question for row in kept] == ["clean"]
    assert dropped == {"text": 1, "key": 1, "ngram": 2} or dropped == {
        "text": 1,
        "key": 1,
        "ngram": 1,
        "near": 1,
    }
    kept, dropped = decontaminate(rows[3:], held, DecontaminateParams(ngram=None), NearParams(threshold=0.6))
    assert dropped == {"near": 1}


def test_a_phrase_of_the_trade_is_no_contamination():
    phrase = "where m and n are relatively prime positive integers find the value of m plus n"
    held = [
        problem(f"the ratio of {word} is a fraction {phrase}", "heldout") for word in ("areas", "lengths")
    ]
    rows = [problem(f"question {n} about topic {n} gives {phrase}") for n in range(12)]
    assert not decontaminate(rows, held, DecontaminateParams(near=False, common=11), None)[1]
    assert decontaminate(rows, held, DecontaminateParams(near=False, common=12), None)[1] == {"ngram": 12}


def test_conflicting_answers_are_counted():
    result = clean(
        {"s": [problem("one?", answer="1"), problem("One", answer="2"), problem("one!", answer="1")]}, PARAMS
    )
    assert result.counts["duplicates"]["exact"] == 2
    assert result.counts["duplicates"]["exact_with_other_answer"] in (1, 2)


CHINESE = "某城市的水库在一天的大雨中通过水坝流出的水量是多少立方米请根据给出的数据计算出来并说明理由"
JAPANESE = "このりんごとみかんを合わせて三百円で買うとき、りんごはいくつまで買えますか、理由も書いてください"
THAI = "ถ้ารถไฟวิ่งด้วยความเร็วหกสิบกิโลเมตรต่อชั่วโมงจะใช้เวลานานเท่าใดจึงจะถึงเมืองที่อยู่ห่างออกไปสามร้อยกิโลเมตร"


@pytest.mark.parametrize("text", [CHINESE, JAPANESE, THAI])
def test_text_without_blanks_is_found_in_longer_text(text):
    held = [problem(text, "heldout")]
    rows = [
        problem(
            f"Please answer in English, with all of the steps that you took on the way: {text} Thank you!"
        ),
        problem("首先" + text[2:-2] + "吗"),
        problem(
            text[: len(text) // 4]
            + " and nothing more of it, but another question about trains and water altogether"
        ),
    ]
    kept, dropped = decontaminate(rows, held, DecontaminateParams(near=False), None)
    assert [row.question for row in kept] == [rows[2].question]
    assert dropped == {"ngram": 2}


@pytest.mark.parametrize(
    ("short", "longer", "held"),
    [
        (
            "What is 17 times 23?",
            "Please answer the following: What is 17 times 23? Explain each step.",
            True,
        ),
        ("Compute 17*23", "please compute 17*23 for me now", True),
        ("Compute 17*23", "please compute 17*23 now", True),
        ("Compute 17*23.", "Compute 17*23.5 and say the result", False),
        ("Compute 17*23.", "Compute 17*23 + 4", False),
        ("Compute 17*23.", "Compute 17*23^2", False),
        ("Compute 7*23+1.", "We compute 17*23+1.", False),
        ("What is the capital of France?", "Name: Bob. What is the capital of France? Take your time.", True),
        ("What is the capital of France?", "What is the capital of France when the war began?", False),
        ("中国的首都是哪里？", "请回答下面的问题：中国的首都是哪里？谢谢。", True),
        ("一加一等于几", "请问一加一等于几呢", True),
        ("一加一等于几", "请问一加一等于几十", False),
        ("日本の首都はどこですか", "次の質問に答えてください。日本の首都はどこですか。よろしく", True),
        ("Why is it?", "I ask you: Why is it? And more.", False),  # too short to prove anything
        ("$x^2 = 49$, find $x$.", "Solve this one: $x^2 = 49$, find $x$. Then stop.", True),
    ],
)
def test_a_short_question_is_found_with_words_around_it(short, longer, held):
    _, dropped = decontaminate(
        [problem(longer)], [problem(short, "heldout")], DecontaminateParams(near=False), None
    )
    assert dropped == ({"contained": 1} if held else {})


def test_a_short_phrase_of_the_trade_proves_nothing():
    held = [problem("What is the value of x?", "heldout")]
    rows = [problem(f"Let {n} be the {n * 7}th number. What is the value of x?") for n in range(12)]
    assert not decontaminate(rows, held, DecontaminateParams(near=False), None)[1]
    assert decontaminate(rows[:9], held, DecontaminateParams(near=False), None)[1] == {"contained": 9}


def test_many_rows_are_cleaned_by_several_processes_to_the_same(tmp_path):
    rows = [problem(f"{LONG} and {n} more", "train", answer=str(n % 3)) for n in range(400)]
    params = PARAMS.model_copy(update={"near": NearParams(), "decontaminate": DecontaminateParams()})
    alone = clean({"s": rows}, params, tmp_path, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.corpora.cleaning.portions.FIRST_PORTIONS", 1)
        patch.setattr("pipelines.corpora.cleaning.clean.PORTION", 50)
        helped = clean({"s": iter(rows)}, params, tmp_path, 2)
    assert helped.rows == alone.rows
    assert helped.counts == alone.counts
    assert sum(map(len, alone.rows.values())) == 400
    assert not list(tmp_path.iterdir())


def test_a_helper_that_dies_and_one_that_fails_are_named():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.corpora.cleaning.portions.FIRST_PORTIONS", 0)
        with pytest.raises(RuntimeError, match="a process that helps to make the corpus ended with 3"):
            list(over_portions(os._exit, [3], 2))
        with pytest.raises(ZeroDivisionError):
            list(over_portions(divmod_by_zero, [1], 2))


def divmod_by_zero(number):
    return number // 0


def test_helpers_end_with_a_process_that_is_killed():
    script = "import time; from pipelines.corpora.cleaning import portions; portions.ALONE = 0; list(portions.over_portions(time.sleep, [0.2] * 500, 2))"
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT) as running:
        parent = psutil.Process(running.pid)
        until = time.monotonic() + 30
        while len(helpers := parent.children()) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        running.kill()
    assert len(helpers) == 2
    _, alive = psutil.wait_procs(helpers, timeout=20)
    assert not alive
