"""No text is changed between the raw row and the token ids, for sources that ask for none: through the real
readers and builds.
"""

import csv
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipelines.corpora.cleaning.canonical import canonical_form
from pipelines.corpora.cleaning.text import visible_form
from tests.corpora.made import published, table, write_lines
from tests.corpora.pairs_made import byte_tokens, from_rows

PIECES = st.sampled_from(
    ["def f(x):\n", "    return x\n", "\t", "  ", " ", "\r\n", "\n", "\n\n\n", "\u00a0", "\u3000", "x = [1, 2]  # two", "中国的首都", "日本語の",
     "ภาษาไทย", "👩‍👩‍👧", "🙂", "e\u0301", "\u00e9", "ﬁ", "１２", "x²", "½", "$x$", "\\frac12", "\u200b", "\ufeff", "\u200d", "\x0b", "a", "B", "'", '"', "—"]
)  # fmt: skip
TEXTS = (
    st.builds("".join, st.lists(PIECES, max_size=8))
    .map(lambda text: f"{text}x")
    .flatmap(lambda text: st.sampled_from([text, text + " \n", " " + text]))
)
ROWS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6, unique_by=lambda row: canonical_form(row[0]))
OPEN = {
    "near": None,
    "decontaminate": {"ngram": None, "near": False},
    "max_prompt_tokens": 4000,
    "max_response_tokens": 4000,
}
HELD = [("what is held out, wholly unlike the others", "z")]
MANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CODE = "Fix it:\r\ndef f(x):\n\tif x:\n\t    return  x \n    return 0\n\n\n"


def check(made, rows):
    """The records hold the raw texts, and their ids decode to them."""
    found = {record.prompt: record for record in made.records["rl"]}
    assert set(found) == {question for question, _ in rows}
    before, after = made.tokens.encode_prompt(""), made.tokens.template
    for question, solution in rows:
        record = found[question]
        assert record.response == solution
        assert made.tokens.decode(record.response_ids) == solution
        asked = made.tokens.tokenizer.decode(record.prompt_ids, skip_special_tokens=False)
        assert asked == f"{after.before}{question}{after.after}"
        assert before


@MANY
@given(ROWS)
@example([(CODE, "    return 1  \n")])
def test_jsonl_rows(rows):
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), rows)
        made = table(
            Path(folder) / "t",
            Path(folder),
            {"train": "rows.jsonl", "heldout": "held.jsonl"},
            {"solution": "s"},
            **OPEN,
        )
        check(made, rows)


def write(root, rows):
    for name, found in (("rows", rows), ("held", HELD)):
        write_lines(
            root / f"{name}.jsonl",
            [{"question": question, "answer": "4", "s": solution} for question, solution in found],
        )


@settings(MANY, max_examples=10)
@given(ROWS)
def test_csv_and_parquet_rows(rows):
    import datasets

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write(root, rows)
        with open(root / "rows.csv", "w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
            writer.writerows(
                [("question", "answer", "s"), *((question, "4", solution) for question, solution in rows)]
            )
        datasets.Dataset.from_list([{"question": q, "answer": "4", "s": s} for q, s in rows]).to_parquet(
            root / "rows.parquet"
        )
        for kind in ("csv", "parquet"):
            check(
                table(
                    root / kind,
                    root,
                    {"train": f"rows.{kind}", "heldout": "held.jsonl"},
                    {"solution": "s"},
                    **OPEN,
                ),
                rows,
            )


@settings(MANY, max_examples=10)
@given(ROWS)
def test_published_mathematics(rows):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for file, found in (("a", rows), ("b", HELD)):
            lines = [
                {"problem": q, "level": "Level 1", "type": "Algebra", "solution": f"{s}\\boxed{{1}}\n"}
                for q, s in found
            ]
            write_lines(root / f"{file}.jsonl", lines)
        made = published(
            root / "t", root, "hendrycks_math", {"train": "a.jsonl", "heldout": "b.jsonl"}, **OPEN
        )
        check(made, [(question, f"{solution}\\boxed{{1}}\n#### 1") for question, solution in rows])


@MANY
@given(
    st.lists(
        st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=4, unique_by=lambda row: canonical_form(row[0])
    )
)
@example([("Which is right?", "if a:\n    b\n    c\n", "if a:\n    b\nc\n")])
def test_pairs(rows):
    rows = [row for row in rows if visible_form(row[1]) != visible_form(row[2])]
    if not rows:
        return
    with tempfile.TemporaryDirectory() as name:
        root, limits = Path(name), {"max_prompt_tokens": 1000, "max_tokens": 4000, "max_answer_tokens": 2000}
        tokens = byte_tokens(root)
        plain = [
            {"prompt": prompt, "chosen": chosen, "rejected": rejected} for prompt, chosen, rejected in rows
        ]
        chats = [
            {
                "conversations": [{"from": "human", "value": p}],
                "chosen": {"from": "gpt", "value": c},
                "rejected": {"from": "gpt", "value": r},
            }
            for p, c, r in rows
        ]
        for kind, lines in (("table", plain), ("llama_factory", chats)):
            made = from_rows(root, kind, lines, **limits)
            assert {(pair.prompt, pair.chosen, pair.rejected) for pair in made.pairs["train"]} == set(rows), (
                kind
            )
            for pair in made.pairs["train"]:
                assert tokens.decode(pair.chosen_ids) == pair.chosen
                assert tokens.decode(pair.rejected_ids) == pair.rejected
                assert pair.prompt in tokens.tokenizer.decode(pair.prompt_ids, skip_special_tokens=False)


def test_half_a_character_is_a_bad_row(tmp_path):
    lines = [
        '{"question": "a \\ud800 b", "answer": "1"}',
        '{"question": "whole", "answer": "1"}',
        '{"question": "hole", "answer": "1"}',
    ]
    write_lines(tmp_path / "rows.jsonl", lines)
    write_lines(tmp_path / "held.jsonl", [{"question": "z", "answer": "1"}])
    made = table(
        tmp_path / "t", tmp_path, {"rl": "rows.jsonl", "heldout": "held.jsonl"}, **OPEN, max_bad_rows=0.5
    )
    assert made.metrics["dropped"]["not_encodable"] == 1
    assert {record.prompt for record in made.records["rl"]} == {"whole", "hole"}


def test_a_source_that_asks_is_tidied(tmp_path):
    write(tmp_path, [("a  b \r\n c", " d\u00a0e ")])
    source = {"normalise": True}
    made = table(
        tmp_path / "t",
        tmp_path,
        {"train": "rows.jsonl", "heldout": "held.jsonl"},
        {"solution": "s"},
        source=source,
        **OPEN,
    )
    assert [(record.prompt, record.response) for record in made.records["sft"]] == [("a b\nc", "d e")]


@pytest.mark.parametrize(("one", "other", "same"), [("a\r\nb \n", "a\nb", True), ("  a", "a", False), ("a  b", "a b", False), ("\u00a0a", " a", True), ("e\u0301", "é", True)])  # fmt: skip
def test_what_looks_the_same(one, other, same):
    assert (visible_form(one) == visible_form(other)) is same
