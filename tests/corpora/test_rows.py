"""Bad rows are named with file, line and reason, dropped and counted; too many of them stop the corpus."""

import pytest

from pipelines.corpora.raw.ledger import Ledger, TooManyBadRows
from pipelines.corpora.raw.rows import read_rows
from tests.corpora.made import table, write_lines

GOOD = [{"question": f"what is {n} and one more thing", "answer": str(n + 1)} for n in range(8)]
BAD = [
    '{"question": "broken',
    "[1, 2]",
    {"question": "no answer here"},
    {"question": "empty", "answer": "  "},
    {"question": 3.5, "answer": ["x"]},
]


def build(tmp_path, rows, name="rows.jsonl", **corpus):
    write_lines(tmp_path / name, rows)
    write_lines(tmp_path / "held.jsonl", [{"question": "entirely different words", "answer": "9"}])
    return table(
        tmp_path / "tokenizer",
        tmp_path,
        {"rl": name, "heldout": "held.jsonl"},
        near=None,
        decontaminate={"near": False},
        **corpus,
    )


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_bad_rows_are_dropped_counted_and_named(tmp_path, name):
    corpus = build(tmp_path, [*BAD[:2], *GOOD, *BAD[2:]], name, max_bad_rows=0.5)
    found = corpus.metrics["sources"]["t"]
    assert (found["read"], found["bad"], len(corpus.records["rl"])) == (14, 5, 8)
    lines = [first.removeprefix(f"{tmp_path}/{name}:") for first in found["first_bad"]]
    assert [line.split(":")[0] for line in lines] == ["1", "2", "11", "12", "13"]
    assert [line.split(": ", 1)[1][:9] for line in lines] == [
        "not JSON:",
        "not an ob",
        "no column",
        "answer is",
        "answer is",
    ]


def test_above_the_share_the_corpus_fails_and_lists_them(tmp_path):
    with pytest.raises(
        TooManyBadRows,
        match=r"5 of 14 rows are bad.*max_bad_rows 0\.3(.|\n)*rows\.jsonl:1: not JSON(.|\n)*rows\.jsonl:2: not an object",
    ):
        build(tmp_path, [*BAD[:2], *GOOD, *BAD[2:]], max_bad_rows=0.3)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(b'{"a": 1}\n{"a": "\xff"}\n\n\xef\xbb\xbf{"a": 2}\n')
    ledger = Ledger("x")
    assert [row for _, row in read_rows(tmp_path / "rows.jsonl", ledger)] == [{"a": 1}]
    assert ledger.first[0].endswith("rows.jsonl:2: not UTF-8 at byte 7")
    assert ledger.bad == 2


def test_a_file_that_breaks_off_is_an_error(tmp_path):
    whole = write_lines(tmp_path / "rows.jsonl.gz", GOOD * 50).read_bytes()
    (tmp_path / "rows.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"rows\.jsonl\.gz breaks off"):
        list(read_rows(tmp_path / "rows.jsonl.gz", Ledger("x")))


def test_a_missing_file_names_the_parameter(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"source t: no file .*none\.jsonl; corpus\.<name>\.raw"):
        table(tmp_path / "tokenizer", tmp_path, {"rl": "none.jsonl"})
