"""Code problems as a corpus: texts kept blank for blank, roles by number or file, what is left out, and the
real sets.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.corpora.cleaning.clean import clean
from pipelines.corpora.cleaning.text import normalise
from pipelines.corpora.corpus_params import CorpusParams
from pipelines.corpora.raw.problem import Problem
from pipelines.corpora.readers.options import CodeSource
from pipelines.corpora.records.set_rules import SetRules
from pipelines.settings import seam_modules
from tests.corpora.made import CHAR, corpus_of, real, write_lines
from tests.corpora.test_code import APPS

UNTOUCHED = {"near": None, "decontaminate": {"ngram": None, "near": False}}
OPEN = CorpusParams.model_validate(
    {"raw": "raw", "sources": {"s": {"reader": "table", "splits": {"rl": "x"}}}} | UNTOUCHED
)


def mbpp(number, **fields):
    prompt = f"def f{number}(x):\n\t'''\n\tAdd {number} to  x.\n\t>>> f{number}(1)\n\t{number + 1}\n\t'''\n"
    test = f"def check(candidate):\n    assert candidate(1) == {number + 1}\n    assert candidate('  ') is None\n"
    row = {"task_id": f"MBPP/{number}", "prompt": prompt, "entry_point": f"f{number}", "test": test}
    return row | {"canonical_solution": f"\tif x:\n\t\treturn x + {number}\n"} | fields


def corpus(folder, root, source, **values):
    value = {
        "raw": "raw",
        "sources": {"c": {"reader": "code", **source}},
        "reward": "code_tests",
        "validation_share": 0,
        "tokenizer": CHAR,
    }
    return corpus_of("c", value | UNTOUCHED | {"max_bad_rows": 0.5} | values, root, 0, folder)


def test_texts_are_kept_blank_for_blank_and_the_tests_travel(tmp_path):
    rows = [mbpp(number) for number in (1, 2, 3, 11, 12, 21)] + [{"task_id": "MBPP/13", "prompt": "add"}]
    write_lines(tmp_path / "mbpp.jsonl", rows)
    numbers = {"train": [11, 20], "validation": [3, 10], "heldout": [2, 2]}
    made = corpus(
        tmp_path / "t",
        tmp_path,
        {"layout": "mbpp", "splits": {"train": "mbpp.jsonl"}, "numbers": numbers, "exclude": ["MBPP/12"]},
    )
    assert made.metrics["records"] == {"sft": 1, "rl": 1, "validation": 1, "heldout": 1}
    assert made.metrics["sources"]["c"]["left_out"] == {"excluded": 1, "no_role": 2}
    assert made.metrics["sources"]["c"]["reasons"] == {"no column entry_point": 1}
    [record] = made.records["sft"]
    assert record.prompt == mbpp(11)["prompt"]
    assert record.response == record.answer == "def f11(x):\n\tif x:\n\t\treturn x + 11\n"
    assert made.tokens.decode(record.response_ids) == record.response
    assert record.meta["id"] == "MBPP/11"
    assert record.meta["code"]["hidden_tests"] == [
        {"code": "assert candidate(1) == 12"},
        {"code": "assert candidate('  ') is None"},
    ]
    assert SetRules.read(tmp_path / "t.records").reward == "code_tests"
    assert json.loads(json.dumps(record.meta)) == record.meta
    bare = corpus(
        tmp_path / "u",
        tmp_path,
        {
            "layout": "mbpp",
            "splits": {"train": "mbpp.jsonl"},
            "numbers": numbers,
            "demonstrations": "completion",
        },
    )
    assert bare.records["validation"][0].response == "\tif x:\n\t\treturn x + 3\n"


@given(st.lists(st.text("a \t\n\r\u200b'", min_size=1), min_size=1, max_size=4))
def test_texts_come_through_the_cleaning_as_they_are_unless_the_source_asks(texts):
    problems = [Problem(f"{number}{text}", text, "rl", "s", text) for number, text in enumerate(texts)]
    rows = clean({"s": problems}, OPEN).rows["rl"]
    assert sorted(map(repr, (row.problem for row in rows))) == sorted(map(repr, problems))
    source = OPEN.sources["s"].model_copy(update={"normalise": True})
    cleaned = clean({"s": problems}, OPEN.model_copy(update={"sources": {"s": source}})).rows["rl"]
    assert all(row.problem.solution == normalise(row.problem.solution) for row in cleaned)


def test_problems_without_tests_are_left_out_and_counted(tmp_path):
    untested = {**APPS, "problem_id": 5, "question": "Subtract.", "input_output": ""}
    write_lines(
        tmp_path / "train.jsonl",
        [APPS, untested, {**APPS, "problem_id": 6, "question": "Multiply.", "solutions": ""}],
    )
    write_lines(
        tmp_path / "test.jsonl",
        [{**APPS, "problem_id": 7, "question": "Divide."}, {**untested, "problem_id": 8}],
    )
    made = corpus(
        tmp_path / "t",
        tmp_path,
        {"layout": "apps", "splits": {"train": "train.jsonl", "heldout": "test.jsonl"}},
    )
    assert made.metrics["records"] == {"sft": 1, "rl": 2, "validation": 0, "heldout": 1}
    assert made.metrics["sources"]["c"]["left_out"] == {"no_tests": 2}
    assert made.metrics["subjects"]["rl"] == {"interview": 2}
    # 1.4's layout
    assert (
        made.records["heldout"][0].prompt == "\nQUESTION:\nDivide.\n\nUse Standard Input format\n\nANSWER:\n"
    )
    unsolved = next(record for record in made.records["rl"] if record.response is None)
    assert unsolved.answer == "APPS/6"


def test_what_is_put_aside_needs_hidden_tests(tmp_path):
    contest = {
        "name": "c",
        "description": "Say 1.",
        "public_tests": {"input": [""], "output": ["1"]},
        "solutions": {},
        "difficulty": 1,
    }
    write_lines(
        tmp_path / "a.jsonl",
        [contest, {**contest, "description": "Say one.", "private_tests": contest["public_tests"]}],
    )
    write_lines(tmp_path / "b.jsonl", [{**contest, "description": "Say 01."}])
    made = corpus(
        tmp_path / "t",
        tmp_path,
        {"layout": "code_contests", "splits": {"heldout": "a.jsonl", "rl": "b.jsonl"}},
    )
    assert made.metrics["sources"]["c"]["left_out"] == {"no_hidden_tests": 1}
    assert [record.prompt for record in made.records["heldout"]] == ["Say one."]
    assert [record.prompt for record in made.records["rl"]] == ["Say 01."]


@pytest.mark.parametrize(
    "wrong",
    [
        {"layout": "pascal"},
        {"numbers": {"train": [9, 1]}},
        {"numbers": {"train": [1, 9], "heldout": [9, 12]}},
        {"numbers": {"train": [1, 9]}, "splits": {"train": "a", "heldout": "b"}},
        {"revision": "main"},
    ],
)
def test_wrong_settings(wrong):
    with pytest.raises(ValidationError):
        CodeSource.model_validate({"reader": "code", "layout": "mbpp", "splits": {"train": "a"}} | wrong)


def test_the_layout_is_part_of_the_code_digest():
    settings = {
        "raw": "a",
        "sources": {"s": {"reader": "code", "layout": "mbpp", "splits": {"rl": "a"}}},
    }
    modules = set(seam_modules(CorpusParams.model_validate(settings)))
    assert modules == {
        f"pipelines.corpora.{name}" for name in ("readers.code", "readers.options.CodeSource", "code.mbpp")
    }


def test_real_mbpp_by_its_published_split(tmp_path):
    numbers = {"train": [601, 974], "validation": [511, 600], "heldout": [11, 510]}
    root = real("code", "mbpp")
    source = {
        "layout": "mbpp",
        "splits": {"train": "mbpp.jsonl"},
        "numbers": numbers,
        "limits": {"train": 90, "heldout": 50},
    }
    made = corpus(tmp_path / "t", root, source, max_prompt_tokens=100_000)
    assert made.metrics["sources"]["c"]["left_out"] == {"no_role": 10}
    assert made.metrics["sources"]["c"]["reasons"] == {"prompt is no Python": 1}  # MBPP/64
    # without limits 374, 90 and 499
    assert made.metrics["records"] == {"sft": 90, "rl": 90, "validation": 90, "heldout": 50}
    rows = {row["task_id"]: row for row in map(json.loads, (root / "mbpp.jsonl").read_text().splitlines())}
    for record in made.records["rl"]:
        assert record.prompt == rows[record.meta["id"]]["prompt"]
        assert record.response is not None
        assert rows[record.meta["id"]]["canonical_solution"] in record.response
