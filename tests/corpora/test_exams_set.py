"""Clusters, split and decontamination of a multi-subject set: worked cases and properties."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.corpora.exams.clusters import components, deduplicate
from pipelines.corpora.exams.exam_set import read_exams, side, unite, write_exams
from pipelines.corpora.exams.exams_params import SPLITS, ExamSetParams, OverlapParams
from pipelines.corpora.exams.item import ExamQuestion
from pipelines.corpora.exams.overlap import without_overlap
from pipelines.corpora.exams.shingles import Shingling

LONG = "the council of the old town wants to know how many litres of water flow over the dam by the mill in one day of rain"
ZH = "某城市的水库在一天的大雨中通过水坝流出的水量是多少立方米请根据给出的数据计算出来并说明理由"


def exam(question, answer="x", source="s"):
    return ExamQuestion(question[:40], question, answer, "law", "social_sciences", source, "en", "phrase")


SHINGLING = Shingling(3, 5, 128)


def test_one_stays_of_a_cluster_and_none_where_references_disagree():
    near = LONG.replace("one day", "a day")
    rows = [exam(LONG, "5"), exam(near, "5.0"), exam("What is a tort in law?", "a wrong"), exam("what is  a tort in law", "a wrong."),
            exam("Who heads the court?", "a judge")]  # fmt: skip
    kept, counts = deduplicate(rows, SHINGLING.sketcher(0.7))
    assert [row.question for row in kept] == [rows[2].question, rows[4].question]
    assert counts == {
        "clusters": 3,
        "exact_duplicates": 1,
        "near_duplicates": 0,
        "disagreeing_clusters": 1,
        "disagreeing_rows": 2,
    }
    assert [row.question for row in deduplicate([rows[0], exam(near, "5")], SHINGLING.sketcher(0.7))[0]] == [
        LONG
    ]


def test_clusters_are_components_whatever_the_order():
    words = LONG.split()
    chain = [
        " ".join(words[start:] + [f"word{step}" for step in range(start)]) for start in range(0, 12, 2)
    ]  # each like its neighbours only
    texts = [*chain, "another question altogether about law", ZH, ZH[3:] + "谢谢"]

    def partition(order):
        found = components([texts[place] for place in order], SHINGLING.sketcher(0.75))
        groups = {}
        for place, number in zip(order, found, strict=True):
            groups.setdefault(number, set()).add(place)
        return {frozenset(group) for group in groups.values()}

    first = partition(range(len(texts)))
    assert frozenset({7, 8}) in first
    for seed in range(5):
        order = list(range(len(texts)))
        random.Random(seed).shuffle(order)
        assert partition(order) == first


def test_chinese_is_compared_by_characters():
    sketcher = SHINGLING.sketcher(0.9)
    assert sketcher.alike(ZH, ZH[2:])
    hashes, starts = sketcher.shingles([ZH, "the sign 水 means water and more", ""])
    assert np.diff(starts).tolist() == [len(ZH) - 5 + 1, 7 - 3 + 1, 1]
    assert len(set(hashes.tolist())) == len(hashes)


def test_overlap_is_counted_by_set_and_reason():
    other = (
        "a quite different question that merely quotes: "
        + " ".join(LONG.split()[:14])
        + " and then asks for something else about fish"
    )
    rows = [
        exam(LONG.upper() + "?"),
        exam(other),
        exam(" ".join(LONG.split()[:12])),
        exam("Who heads the court?"),
        exam(ZH[:25] + "吗"),
    ]
    kept, counts = without_overlap(rows, {"gsm8k": [LONG], "gaokao": [ZH]}, OverlapParams(), SHINGLING)
    assert [row.question for row in kept] == [rows[2].question, rows[3].question]
    assert {name: dict(found) for name, found in counts.items()} == {
        "gsm8k": {"text": 1, "run": 1, "contained": 0, "near": 0},
        "gaokao": {"text": 0, "run": 1, "contained": 0, "near": 0},
    }


def test_phrases_of_the_trade_prove_nothing():
    rows = [
        exam(f"{' '.join(LONG.split()[:13])} number {number} {number * 7} of pairs {number * 3} and more")
        for number in range(12)
    ]
    kept, _ = without_overlap(rows, {"t": [LONG]}, OverlapParams(), SHINGLING)
    assert len(kept) == 12
    assert without_overlap(rows[:10], {"t": [LONG]}, OverlapParams(), SHINGLING)[0] == []


def made(count):
    rng = random.Random(0)
    words = [
        "court",
        "water",
        "judge",
        "river",
        "law",
        "metal",
        "cell",
        "nerve",
        "price",
        "market",
        "poem",
        "king",
        "trade",
        "bone",
        "leaf",
        "star",
        "crystal",
        "union",
        "verb",
        "tax",
    ]
    return [
        exam(" ".join(rng.choice(words) for _ in range(12)), rng.choice(words), source=f"s{number % 3}")
        for number in range(count)
    ]


def test_splits_are_disjoint_and_stable(tmp_path):
    params = ExamSetParams(exams=("a",))
    rows = made(400)
    found = unite({"a": rows}, params, {"outside": [rows[7].question]})
    questions = {split: {row.question for row in found.splits[split]} for split in SPLITS}
    assert sum(map(len, questions.values())) == len(set().union(*questions.values()))
    assert rows[7].question not in set().union(*questions.values())
    assert sum(counts["outside"]["text"] for counts in found.metrics["contamination"].values()) == 1
    shuffled = rows[:]
    random.Random(1).shuffle(shuffled)
    again = unite({"a": shuffled[:300]}, params)
    for split in SPLITS:
        assert {row.question for row in again.splits[split]} - {rows[7].question} <= questions[split]
        assert all(side(row.key, params) == split for row in found.splits[split])
    assert found.metrics["splits"]["test"]["questions"] == len(questions["test"])
    write_exams(tmp_path / "test.jsonl", found.splits["test"])
    assert read_exams(tmp_path / "test.jsonl") == list(found.splits["test"])
    (tmp_path / "bad.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(ValueError, match=r"bad.jsonl:1: .*run its stage again"):
        read_exams(tmp_path / "bad.jsonl")


def test_limits_take_the_same_rows_in_any_order():
    rows = made(100)
    params = ExamSetParams(exams=("a",), limits={"a": 20})
    first = unite({"a": rows}, params)
    second = unite({"a": rows[::-1]}, params)
    assert first.metrics["limited"] == 20
    assert {split: {row.question for row in found} for split, found in first.splits.items()} == {
        split: {row.question for row in found} for split, found in second.splits.items()
    }


def test_shares_must_sum_to_one():
    with pytest.raises(ValidationError, match="must sum to 1"):
        ExamSetParams(exams=("a",), shares={"explore": 0.5, "rl": 0.5, "calib": 0.1, "test": 0.1})


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40))
def test_any_key_has_one_side(key):
    assert side(key, ExamSetParams(exams=("a",))) in SPLITS
