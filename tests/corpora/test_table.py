"""Local JSONL, CSV and Parquet through a column mapping give the same records; a hub dataset that is not at
hand says what to do.
"""

import csv

import pytest

from pipelines.corpora.raw.columns import BadRow, plain
from tests.corpora.made import table, write_lines

COLUMNS = {"question": "ask.text", "answer": "gold", "level": "hard"}
FLAT = {**COLUMNS, "question": "ask"}
ROWS = [
    {
        "ask": {"text": f"the {n}th thing, is it {n * n} or more?"},
        "gold": f"we think #### 0{n}",
        "hard": f"Level {n % 3}",
        "other": n,
    }
    for n in range(6)
]
HELD = [{"ask": {"text": "wholly unlike the others"}, "gold": "so #### 7", "hard": "none"}]


def flat(rows):
    return [{**row, "ask": row["ask"]["text"]} for row in rows]


def build(tmp_path, kind, rows, columns):
    write_lines(tmp_path / "held.jsonl", HELD if columns is COLUMNS else flat(HELD))
    return table(tmp_path / f"tok-{kind}", tmp_path, {"train": f"rows.{kind}", "heldout": "held.jsonl"}, columns, near=None,
                 decontaminate={"near": False}, source={"answer_after": "####"}).records  # fmt: skip


def test_three_formats_one_result(tmp_path):
    datasets = pytest.importorskip("datasets")
    write_lines(tmp_path / "rows.jsonl", ROWS)
    datasets.Dataset.from_list(ROWS).to_parquet(tmp_path / "rows.parquet")
    with open(tmp_path / "rows.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, ["ask", "gold", "hard", "other"])
        writer.writeheader()
        writer.writerows(flat(ROWS))
    lines = build(tmp_path, "jsonl", ROWS, COLUMNS)
    assert build(tmp_path, "parquet", ROWS, COLUMNS) == lines
    assert build(tmp_path, "csv", ROWS, FLAT) == lines
    # text stays text: no 01 -> 1
    assert {record.answer for record in lines["rl"]} == {f"0{n}" for n in range(6)}
    assert {record.level for record in lines["rl"]} == {0, 1, 2}
    assert all(record.response.startswith("we think ####") for record in lines["sft"])
    assert lines["heldout"][0].level is None


def test_a_csv_row_with_the_wrong_number_of_fields_is_named(tmp_path):
    (tmp_path / "rows.csv").write_text("question,answer\none and one,2\ntwo,2,2\nthree\nfour and one,5\n")
    write_lines(tmp_path / "held.jsonl", [{"question": "other", "answer": "7"}])
    corpus = table(tmp_path / "tok", tmp_path, {"rl": "rows.csv", "heldout": "held.jsonl"}, max_bad_rows=0.5)
    assert [first.rpartition("/")[2] for first in corpus.metrics["sources"]["t"]["first_bad"]] == [
        "rows.csv:3: has more fields than the header's 2",
        "rows.csv:4: has fewer fields than the header's 2",
    ]


def test_a_hub_dataset_that_is_not_at_hand_offline(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    # what `quiet` sets through the environment before the import
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        ValueError,
        match=r"nobody/nothing \(revision abc123\) .* is not at hand: .*set execution\.offline to false",
    ):
        table(
            tmp_path / "tok", tmp_path, {"rl": "train"}, source={"id": "nobody/nothing", "revision": "abc123"}
        )


def test_columns_for_rewards_are_kept_by_their_own_names(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [
        {"problem": f"what is {n} and {n * n}?", "solution": f"so #### {n}", "hard": n / 2, "rubric": ["a", n > 2],
         "other": "x"}
        for n in range(6)
    ]  # fmt: skip
    write_lines(tmp_path / "rows.jsonl", rows)
    write_lines(tmp_path / "held.jsonl", [{"problem": "wholly unlike the others", "solution": "#### 7"}])
    source = {"answer_after": "####", "keep": ["hard", "rubric"]}

    def records(file, **options):
        files = {"train": file, "heldout": "held.jsonl"}
        columns = {"question": "problem", "answer": "solution"}
        return table(tmp_path / f"tok-{file}", tmp_path, files, columns, near=None, source=source | options,
                     decontaminate={"near": False}).records  # fmt: skip

    made = records("rows.jsonl")
    kept = {record.answer: record.meta["columns"] for record in made["rl"]}
    assert kept["3"] == {"solution": "so #### 3", "hard": 1.5, "rubric": ["a", True]}
    (held,) = made["heldout"]
    assert held.meta["columns"] == {"solution": "#### 7", "hard": None, "rubric": None}
    (tmp_path / "rows.jsonl").rename(tmp_path / "moved.jsonl")
    plain = [{**row, "rubric": "text"} for row in rows]
    datasets.Dataset.from_list(plain).to_parquet(tmp_path / "rows.parquet")
    assert {record.meta["columns"]["hard"] for record in records("rows.parquet")["rl"]} == {
        n / 2 for n in range(6)
    }


@pytest.mark.parametrize(
    ("value", "reason"),
    [(b"x", "rubric is bytes, which no JSON holds"), ("\ud800", "rubric holds half of a character")],
)
def test_what_no_file_can_hold_is_a_bad_row(value, reason):
    with pytest.raises(BadRow, match=reason):
        plain({"rubric": [{"a": value}]}, "rubric")
