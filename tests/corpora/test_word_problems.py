"""Generated word problems: right answers, wordings that stay on one side, rows that are refused by name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.cleaning.split import Shares
from pipelines.corpora.raw.ledger import Ledger
from pipelines.corpora.raw.problem import Problem, Reading
from pipelines.corpora.readers.options import WordProblemsSource
from pipelines.corpora.readers.word_problems import draw, read
from tests.corpora.made import ROOT

SIZES = {"n_sft": 40, "n_rl": 80, "n_validation": 40, "n_heldout": 80}
SOURCE = {"reader": "word_problems"} | SIZES
WORDS = [
    {"kind": kind, "word": f"{{a}} {kind} {{b}} {{thing}} of {{name}}, {number}?"}
    for kind in "+-*/"
    for number in range(12)
]
WORDS += [{"kind": "name", "word": word} for word in ("Ann", "Ben")]
WORDS += [{"kind": "thing", "word": word} for word in ("pens", "cups")]


def problems(
    root: Path = ROOT / "raw/word_problems", seed: int = 0, ledger: Ledger | None = None, **source: Any
) -> list[Problem]:
    reading = Reading(
        root, "words", seed, Shares(validation=0.15, heldout=0.3), ledger or Ledger("words", 0.5)
    )
    return list(read(WordProblemsSource(**{**SOURCE, **source}), reading))


def words_in(folder: Path, rows: list[Any]) -> Path:
    (folder / "words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@given(st.sampled_from("+-*/"), st.integers(4, 200), st.integers(0, 10**6))
def test_numbers_are_small_and_the_result_is_right(operation: str, operand_max: int, seed: int) -> None:
    first, second, result = draw(operation, operand_max, Random(seed))
    assert 2 <= second <= operand_max
    assert 2 <= first <= operand_max
    assert result >= 1
    assert {"+": first + second, "-": first - second, "*": first * second, "/": first / second}[
        operation
    ] == result


def test_problems_of_each_role_are_different_and_their_wordings_are_on_one_side() -> None:
    by_role: dict[str, list[Problem]] = {}
    for problem in problems():
        by_role.setdefault(problem.role, []).append(problem)
    assert {role: len(rows) for role, rows in by_role.items()} == {
        "sft": 40,
        "rl": 80,
        "validation": 40,
        "heldout": 80,
    }
    for rows in by_role.values():
        assert len({problem.question for problem in rows}) == len(rows)
        assert len({problem.subject for problem in rows}) == 4
        assert all("{" not in problem.question for problem in rows)
    wordings = {role: {problem.key for problem in rows} for role, rows in by_role.items()}
    assert not wordings["heldout"] & (wordings["sft"] | wordings["rl"] | wordings["validation"])
    assert not wordings["validation"] & (wordings["sft"] | wordings["rl"])


def test_demonstrations_show_the_working_and_the_marked_answer() -> None:
    for problem in problems():
        if problem.role == "sft":
            working, marked = str(problem.solution).split("\n")
            left, right = working.split(" = ")
            assert eval(left) == int(right) == int(problem.answer)
            assert marked == f"#### {problem.answer}"
            assert set(re.findall(r"\d+", left)) <= set(re.findall(r"\d+", problem.question))
        else:
            assert problem.solution is None


def test_another_number_of_prompts_leaves_the_demonstrations_and_the_order_of_rows_changes_nothing(
    tmp_path: Path,
) -> None:
    root = words_in(tmp_path, WORDS)
    first = problems(root)
    assert problems(words_in(tmp_path, WORDS[::-1])) == first
    more = problems(root, n_rl=120)
    assert [row for row in more if row.role != "rl"] == [row for row in first if row.role != "rl"]
    assert problems(root, seed=1) != first


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"kind": "+", "word": "{a} and more"}, "a wording needs {b}"),
        ({"kind": "-", "word": "{a} {b} {colour}"}, "a wording knows {a}, {b}, {name}, {other} and {thing}: 'colour'"),
        ({"kind": "*", "word": "{a} {b} {"}, "a wording knows"),
        ({"kind": "**", "word": "x"}, "kind must be one of +, -, *, /, name, thing, not '**'"),
        ({"kind": "name", "word": " "}, "word must be a text, not ' '"),
    ],
)  # fmt: skip
def test_bad_rows_are_named_and_left_out(tmp_path: Path, row: dict[str, str], said: str) -> None:
    ledger = Ledger("words", 0.5)
    assert problems(words_in(tmp_path, [*WORDS, row]), ledger=ledger) == problems(words_in(tmp_path, WORDS))
    assert any(said in text for text in ledger.first), ledger.first


@pytest.mark.parametrize(
    ("rows", "source", "said"),
    [
        ([row for row in WORDS if row["kind"] != "name"], {}, "fewer than two words of kind name"),
        ([row for row in WORDS if row["kind"] not in "*"], {}, r"fewer than two words of kind \*"),
        ([row for row in WORDS if row["kind"] != "/"] + [row for row in WORDS if row["kind"] == "/"][:2], {}, "no wording of / falls to"),
        (WORDS, {"n_rl": 10_000, "operand_max": 4}, "different rl problems were found, 10000 were asked for"),
    ],
)  # fmt: skip
def test_too_few_words_say_what_to_add(
    tmp_path: Path, rows: list[Any], source: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        problems(words_in(tmp_path, rows), **source)
