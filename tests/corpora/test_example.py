"""Examples survive the file byte for byte, and a damaged file is named by line."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.records.example import Example, read_examples, write_examples

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
ROW = Example("a:1", "1+1?", "#### 2", "2", "add", 1, "exam", {"right": True})
TURNS = {"messages": [{"role": "user", "content": "1+1?"}]}


@given(
    st.lists(
        st.builds(
            replace,
            st.just(ROW),
            id=TEXT,
            prompt=TEXT,
            answer=TEXT,
            response=TEXT,
            conversation=st.sampled_from([None, TURNS]),
            loss=st.sampled_from(["last", "every", "text", 2]),
        ),
        max_size=5,
    )
)
def test_round_trip(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("records") / "rows.jsonl"
    assert write_examples(path, rows) == len(rows)
    assert read_examples(path) == rows


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": "x"}', "prompt: Field required"),
        ('{"id": 7', "Invalid JSON"),
        (
            '{"id":"","prompt":"p","response":null,"answer":"a","subject":"s","level":null,"source":"s"}',
            "id",
        ),
        (
            '{"id":"i","prompt":"p","response":"r","answer":"a","subject":"s","level":1,"source":"s","prompt_ids":[1]}',
            "prompt_ids",
        ),
        (
            '{"id":"i","prompt":"p","response":null,"answer":"a","subject":"s","level":1,"source":"s","loss":"some"}',
            "loss",
        ),
    ],
)
def test_damage_is_named_by_file_and_line(tmp_path, line, reason):
    path = tmp_path / "rows.jsonl"
    write_examples(path, [ROW])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ValueError, match=rf"rows\.jsonl:2: .*{reason}"):
        read_examples(path)
