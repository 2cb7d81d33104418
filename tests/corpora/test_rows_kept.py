"""Every row that is read is kept or lost once, whatever becomes of it; files that end empty say what is
missing.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.corpora.made import table, write_lines

WORDS = st.sampled_from(["one", "two", "three", "x" * 80, "<|end|>"])
ROWS = st.lists(
    st.one_of(
        st.just("no JSON"),
        st.builds(
            lambda words, answer, solution: {"question": " ".join(words), "answer": answer, "s": solution},
            st.lists(WORDS, min_size=1, max_size=3),
            st.sampled_from("12"),
            st.sampled_from(["short", "y" * 90]),
        ),
    ),
    max_size=20,
)


@given(ROWS, ROWS, st.sampled_from(["train", "rl"]))
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_read_is_kept_and_lost(tmp_path_factory, rows, others, role):
    folder = tmp_path_factory.mktemp("rows")
    good = [{"question": f"a question about {name}", "answer": "1", "s": "z"} for name in ("cats", "dogs")]
    write_lines(folder / "a.jsonl", [*rows, good[0]])
    write_lines(folder / "b.jsonl", [*others, good[1]])
    made = table(
        folder / "t", folder, {role: "a.jsonl", "heldout": "b.jsonl"}, {"solution": "s"}, max_bad_rows=0.99, max_prompt_tokens=70,
        max_response_tokens=60, validation_share=0.0,
    )  # fmt: skip
    counted = made.metrics["rows"]
    kept = {example.id for own in made.examples.values() for example in own}
    assert counted["read"] == len(rows) + len(others) + 2
    assert counted["kept"] == counted["read"] - sum(counted["lost"].values()) == len(kept)
    for file, examples in made.examples.items():
        assert len(examples) == len(made.records[file]) + made.left_out[file].total()


def of(tmp_path, splits, rows, columns=None, **corpus):
    write_lines(tmp_path / "a.jsonl", rows)
    write_lines(tmp_path / "b.jsonl", [{"question": "held out", "answer": "1", "s": "1"}])
    return table(tmp_path / "t", tmp_path, splits, columns, **corpus)


def test_what_is_missing_is_named(tmp_path):
    rows = [
        {"question": f"question {n} of cats", "answer": "1", "long": "5", "s": "x" * 50} for n in range(3)
    ]
    with pytest.raises(
        ValueError,
        match="no source has rows for rl: the roles named are heldout, sft; name a file or split of the role rl or train",
    ):
        of(tmp_path, {"sft": "a.jsonl", "heldout": "b.jsonl"}, rows, {"solution": "s"})
    with pytest.raises(
        ValueError,
        match="no source has rows for heldout: the roles named are train; name one of the role heldout, or set",
    ):
        of(tmp_path, {"train": "a.jsonl"}, rows)
    with pytest.raises(ValidationError, match=r"splits\.sft has no demonstrations"):
        of(tmp_path, {"sft": "a.jsonl", "rl": "a.jsonl", "heldout": "b.jsonl"}, rows)
    with pytest.raises(
        ValueError, match=r"sft\.jsonl: none of 3 rows is left \(3 long response\); raise max_response_tokens"
    ):
        of(
            tmp_path,
            {"sft": "a.jsonl", "rl": "a.jsonl", "heldout": "b.jsonl"},
            rows,
            {"solution": "s"},
            max_response_tokens=10,
        )
    with pytest.raises(
        ValueError, match=r"rl\.jsonl: none of 3 rows is left \(3 long prompt\); raise max_prompt_tokens"
    ):
        of(tmp_path, {"train": "a.jsonl", "heldout": "b.jsonl"}, rows, max_prompt_tokens=12)


def test_a_demonstration_that_is_none_is_counted(tmp_path):
    rows = [
        {"question": f"question {n} of cats", "answer": f"{'worked ' * (n % 2)}#### {n}"} for n in range(6)
    ]
    source = {"answer_after": "####"}
    write_lines(tmp_path / "c.jsonl", [{"question": "aside", "answer": "#### 2"}])
    write_lines(tmp_path / "b.jsonl", [{"question": "another", "answer": "#### 3"}])
    write_lines(tmp_path / "a.jsonl", rows)
    made = table(
        tmp_path / "t", tmp_path, {"sft": "a.jsonl", "rl": "b.jsonl", "heldout": "c.jsonl"}, source=source
    )
    assert made.metrics["rows"]["lost"] == {"no demonstration": 3}
    assert made.metrics["dropped"]["no_demonstration"] == 3
    assert made.metrics["records"] == {"sft": 3, "rl": 1, "validation": 0, "heldout": 1}


def test_a_share_that_does_nothing_is_said():
    from pipelines.corpora.corpus_params import CorpusParams
    from pipelines.corpora.raw.roles import unused_shares

    value = {"raw": "r", "validation_share": 0.1}
    sources = {"s": {"reader": "table", "splits": {"rl": "a", "heldout": "b"}}}
    [said] = unused_shares(CorpusParams.model_validate({**value, "sources": sources}))
    assert said.startswith(
        "validation_share 0.1 does nothing: it splits rows of the role train, and the roles named are heldout, rl; name one"
    )
    sources["s"]["splits"]["validation"] = "c"
    assert not unused_shares(CorpusParams.model_validate({**value, "sources": sources}))
