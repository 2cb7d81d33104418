"""Judgements: GSM8K's published solutions with sentence references (reward_bridge.md 7.1), and the file they
lie in.
"""

import json
import re

import pytest

from pipelines.corpora.raw.ledger import Ledger
from pipelines.corpora.raw.long_reference import MODELS, final_number, last_sentence, read
from pipelines.corpora.records.judgement import Judgement, distinct, read_judgements, write_judgements
from pipelines.rewards.generative.prompt import final_step
from tests.corpora.made import DATA

ROW = {
    "question": "How many?",
    "ground_truth": "She has 2 + 3 = <<2+3=5>>5 eggs. She sells 5 * 2 = $<<5*2=10>>10 of them.\nA: 10",
    **{
        model: {"solution": "So it is 3 + 7 = <<3+7=10>>10.\nA: 1,000", "is_correct": False}
        for model in MODELS
    },
}


def write(tmp_path, *rows):
    path = tmp_path / "solutions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_row_gives_four_judgements(tmp_path):
    found = list(read(write(tmp_path, ROW), Ledger("gsm8k")))
    assert [each.subject for each in found] == list(MODELS)
    assert found[0].reference == "She sells 5 * 2 = $10 of them."
    assert found[0].response == "So it is 3 + 7 = 10."
    assert {each.question_id for each in found} == {"gsm8k:1"}
    assert final_number("x\nA: 1,000") == "1000"
    assert last_sentence("A: 5") == ""


def test_bad_rows_are_named_and_the_others_stay(tmp_path):
    ledger = Ledger("gsm8k")
    bad = {**ROW, MODELS[2]: {"solution": "no label"}}
    assert len(list(read(write(tmp_path, bad, ROW, {"question": ""}), ledger))) == 4
    text = str(ledger.summary())
    assert "175b_finetuning must hold" in text
    assert "question must be text" in text


def test_the_published_labels_are_exact_and_strings_no_longer_decide():
    """reward_bridge.md 7.1: is_correct is equality of the final numbers; containment of the sentence finds
    hardly any right answer.
    """
    path = DATA / "gsm8k_model_solutions" / "solutions_dev.jsonl.gz"
    if not path.exists():
        pytest.skip(f"no real data at {path}; set WHETSTONE_DATA")
    import gzip

    ledger = Ledger("gsm8k")
    found = list(read(path, ledger))
    assert len(found) == 4 * 660
    with gzip.open(path, "rt") as stream:
        rows = [json.loads(line) for line in stream]
    exact = [
        final_number(row[model]["solution"]) == final_number(row["ground_truth"])
        for row in rows
        for model in MODELS
    ]
    assert exact == [bool(each.label) for each in found]
    right = [each for each in found if each.label]
    contained = sum(each.reference.casefold() in each.response.casefold() for each in right)
    assert contained / len(right) < 0.05
    wrong_contained = sum(
        each.reference.casefold() in each.response.casefold() for each in found if not each.label
    )
    assert wrong_contained / max(1, contained + wrong_contained) < 0.1
    words = [len(each.reference.split()) for each in found[::4]]
    assert 10 < sum(words) / len(words) < 18
    assert not any(re.search(r"<<|A:", each.reference + each.response) for each in found)


def test_a_file_of_judgements_comes_back(tmp_path):
    rows = [
        Judgement(
            f"j{n}",
            "q",
            "What?",
            "It is so.",
            f"steps\nIt is {n}.",
            n % 2,
            "exact",
            truth=n % 2,
            probability=0.5,
        )
        for n in range(4)
    ]
    write_judgements(tmp_path / "j.jsonl", rows)
    assert read_judgements(tmp_path / "j.jsonl") == rows
    with open(tmp_path / "j.jsonl", "a") as stream:
        stream.write(json.dumps({"id": "j9", "label": 3}) + "\n")
    with pytest.raises(ValueError, match=r"j.jsonl:5: .*damaged"):
        read_judgements(tmp_path / "j.jsonl")
    with pytest.raises(ValueError, match="less than or equal to 1"):
        Judgement("a", "q", "What?", "It", "y", 2, "exact")


def test_what_a_verifier_sees_twice_counts_once():
    rows = [
        Judgement(f"j{n}", "q", "What?", "It is so.", text, 1, "exact")
        for n, text in enumerate(["a\nIt is 1.", "b\nIt is 1. ", "It is 2."])
    ]
    kept = distinct(rows)
    assert [final_step(each.response) for each in kept] == ["It is 1.", "It is 2."]
