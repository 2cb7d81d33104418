"""Pairs survive the file bit for bit; what no later stage could use is refused when the file is read, with
its line.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.preferences.pair import (
    PairExample,
    Preference,
    read_pair_examples,
    write_pair_examples,
)

PAIR = PairExample(
    "s:1",
    "ask",
    "good",
    "bad",
    "s",
    "g",
    True,
    False,
    None,
    True,
    {"scores": [1.0, 0.0]},
    chosen_ids=[4, 5],
    rejected_ids=[6],
    tokens="0123",
    unfinished=["rejected"],
)


def test_a_file_of_pairs(tmp_path):
    other = PairExample("s:2", "ask é\n", "", "x", "s", "g")
    assert write_pair_examples(tmp_path / "a.jsonl", [PAIR, other]) == 2
    assert read_pair_examples(tmp_path / "a.jsonl") == [PAIR, other]
    write_pair_examples(tmp_path / "b.jsonl", read_pair_examples(tmp_path / "a.jsonl"))
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": None}, "ids without"),
        ({"rejected_ids": []}, "rejected_ids: List should have at least 1 item"),
        ({"unfinished": ["both"]}, "unfinished.0"),
        ({"chosen_ids": [1.5]}, "chosen_ids.0: Input should be a valid integer"),
        ({"group": ""}, "group: String should have at least 1 character"),
        ({"chosen_safe": None}, "both be there, or both be null"),
        ({"safer": 2}, "safer: Input should be a valid boolean"),
        ({"rejected": None}, "rejected: Input should be a valid string"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_damaged_file_names_its_line(tmp_path, change, message):
    write_pair_examples(tmp_path / "a.jsonl", [PAIR])
    row = json.loads((tmp_path / "a.jsonl").read_text())
    with open(tmp_path / "a.jsonl", "a") as stream:
        stream.write(json.dumps({**row, **change}) + "\n")
    with pytest.raises(ValueError, match=rf"a\.jsonl:2: .*{message}"):
        read_pair_examples(tmp_path / "a.jsonl")


LABEL = st.sampled_from([None, True, False])


@given(LABEL, LABEL, LABEL, LABEL)
def test_swapping_twice_changes_nothing(one, other, helpful, safer):
    preference = Preference("p", "a", "b", "s", "train", one, other, helpful, safer, ids=((1,), None))
    swapped = preference.swapped()
    assert (swapped.chosen, swapped.chosen_safe, swapped.ids) == ("b", other, (None, (1,)))
    assert swapped.swapped() == preference
