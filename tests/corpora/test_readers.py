"""Each published form, row by row: what becomes of a good row, and why a bad one is refused."""

import pytest

from pipelines.corpora.readers.hendrycks_math import last_boxed
from pipelines.corpora.readers.mawps import fill_numbers
from tests.corpora.made import published, write_lines

OPEN = {"near": None, "decontaminate": {"ngram": None, "near": False}, "max_bad_rows": 0.9}


def one(tmp_path, reader, rows):
    write_lines(tmp_path / "a.jsonl", rows)
    good = {
        "gsm8k": {"question": "held out", "answer": "one\n#### 1"},
        "hendrycks_math": {
            "problem": "held out",
            "level": "Level 1",
            "type": "Algebra",
            "solution": "\\boxed{1}",
        },
        "aime": {"problem": "held out", "answer": "1"},
        "mawps": {
            "Question": "held out number0",
            "Numbers": "1.0",
            "Equation": "+ number0 0",
            "Answer": "1.0",
        },
    }[reader]
    write_lines(tmp_path / "b.jsonl", [good])
    corpus = published(tmp_path / "tok", tmp_path, reader, {"train": "a.jsonl", "heldout": "b.jsonl"}, **OPEN)
    reasons = [first.split(": ", 1)[1] for first in corpus.metrics["sources"][reader]["first_bad"]]
    return corpus.records["rl"], reasons


def test_gsm8k(tmp_path):
    rows = [
        {
            "question": "How many?",
            "answer": "She has 48/2 = <<48/2=24>>24.\nIn all 1,000+24 = <<1000+24=1024>>1,024.\n#### 1,024",
        },
        {"question": "No mark", "answer": "24"},
        {"question": "No working", "answer": "#### 5"},
        {"question": "No number", "answer": "work\n#### five"},
        {"question": "\u200b", "answer": 5},
    ]
    records, reasons = one(tmp_path, "gsm8k", rows)
    assert [(r.answer, r.response) for r in records] == [
        ("1024", "She has 48/2 = 24.\nIn all 1,000+24 = 1,024.\n#### 1024")
    ]
    assert reasons == [
        "answer has no ####",
        "answer has no worked solution",
        "the answer is not a number",
        "answer has no ####",
    ]


def test_math(tmp_path):
    row = {
        "problem": "Find it.",
        "level": "Level ?",
        "type": "Counting & Probability",
        "solution": "First \\boxed{2}, so \\boxed{\\frac{1}{2}}.",
    }
    records, reasons = one(
        tmp_path,
        "hendrycks_math",
        [row, {**row, "problem": "b", "solution": "so \\boxed{}"}, {**row, "problem": 4, "type": None}],
    )
    assert [(r.answer, r.level, r.subject) for r in records] == [
        ("\\frac{1}{2}", None, "counting_and_probability")
    ]
    assert records[0].response.endswith("\\boxed{\\frac{1}{2}}.\n#### \\frac{1}{2}")
    assert reasons == ["the solution boxes no answer", "type is NoneType, not text"]


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("\\boxed{a{b}c} x", "a{b}c"),
        ("$\\boxed 5$", "5"),
        ("\\fbox{7}", "7"),
        ("\\boxed{1", ""),
        ("none", ""),
        ("\\boxed{1}\\boxed{ 2 }", "2"),
        ("\\boxed", ""),
    ],
)
def test_last_boxed(solution, answer):
    assert last_boxed(solution) == answer


def test_aime(tmp_path):
    rows = [
        {"problem": "p", "answer": "020", "year": 1983, "solution": "thus"},
        {"problem": "q", "answer": "1000"},
        {"problem": "r", "answer": "x"},
    ]
    records, reasons = one(tmp_path, "aime", rows)
    assert [(r.answer, r.response, r.meta) for r in records] == [("20", "thus\n#### 20", {"year": 1983})]
    assert reasons == ["the answer is not a whole number from 0 to 999"] * 2


def test_mawps(tmp_path):
    row = {
        "Question": "number0 cups and number1 more",
        "Numbers": "8.0 2.50",
        "Equation": "- number0 number1",
        "Answer": "5.5",
    }
    records, reasons = one(
        tmp_path,
        "mawps",
        [
            row,
            {**row, "Question": "b", "Answer": "6"},
            {**row, "Question": "c number2"},
            {**row, "Equation": "/ number0 0"},
        ],
    )
    assert [(r.prompt, r.answer, r.response) for r in records] == [("8 cups and 2.5 more", "5.5", None)]
    assert reasons == [
        "the equation does not give the answer",
        "the question asks for more numbers than there are",
        "the equation cannot be evaluated",
    ]
    assert fill_numbers("number1 of number10", [str(n) for n in range(11)]) == "1 of 10"
