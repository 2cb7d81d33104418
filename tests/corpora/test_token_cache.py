"""Kept token ids are those that would be made: of every row, whatever happens to the folder, and of nothing
else.
"""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.records import token_cache
from pipelines.corpora.records.token_cache import cached
from pipelines.corpora.records.tokenised import read_tokenised
from tests.corpora.made import exam
from tests.tiny import make_tiny_tokens

IDS = st.lists(st.integers(0, 2**31 - 1), max_size=6)
ROWS = st.lists(st.one_of(st.text(max_size=5), st.tuples(IDS, IDS, IDS)), max_size=12)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


@pytest.fixture(autouse=True)
def _all_kept(monkeypatch):
    monkeypatch.setattr(token_cache, "MIN_ROWS", 0)


def again():
    raise AssertionError("made twice")


@given(ROWS)
def test_rows_come_back_as_they_were(tokens, tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("cache")
    (folder / "rows.jsonl").write_text("x")
    assert cached(folder / "kept", folder / "rows.jsonl", tokens, "r", lambda: rows) == rows
    assert list(cached(folder / "kept", folder / "rows.jsonl", tokens, "r", again)) == rows


def damage_ids(folder: Path) -> None:
    ids = np.load(folder / "ids.npy")
    ids[0] += 1
    np.save(folder / "ids.npy", ids)


@pytest.mark.parametrize(
    "damage",
    [
        damage_ids,
        lambda folder: (folder / "facts.json").write_text("{}"),
        lambda folder: (folder / "facts.json").unlink(),
        lambda folder: (folder / "ids.npy").write_bytes((folder / "ids.npy").read_bytes()[:-3]),
        lambda folder: (folder / "lengths.npy").unlink(),
    ],
)
def test_what_is_damaged_is_made_again(tokens, tmp_path, damage):
    rows, source = [([1, 2], [3], []), "reason"], tmp_path / "rows.jsonl"
    source.write_text("x")
    cached(tmp_path / "kept", source, tokens, "r", lambda: rows)
    [folder] = (tmp_path / "kept").iterdir()
    damage(folder)
    assert cached(tmp_path / "kept", source, tokens, "r", lambda: rows) == rows
    assert list(cached(tmp_path / "kept", source, tokens, "r", again)) == rows


def test_another_file_contract_or_kind_is_another_entry(tokens, tmp_path):
    source, other = tmp_path / "rows.jsonl", make_tiny_tokens(tmp_path / "other")
    source.write_text("x")
    other.facts["stop_ids"] = [*other.facts["stop_ids"], 5]
    made = []

    def compute():
        made.append(1)
        return [([len(made)],)]

    def ask(tokens=tokens, kind="r"):
        return list(cached(tmp_path / "kept", source, tokens, kind, compute))

    assert ask() == ask() == [([1],)]
    assert (ask(other), ask(kind="pairs")) == ([([2],)], [([3],)])
    source.write_text("y")
    assert ask() == [([4],)]


def test_records_from_the_cache_are_those_without_it(tmp_path):
    made = exam(tmp_path / "tokens")
    for _ in range(2):
        read = read_tokenised(tmp_path / "tokens.records", "sft", made.tokens, tmp_path / "kept")
        assert read.records == made.records["sft"]
    assert len(list((tmp_path / "kept").iterdir())) == 1
