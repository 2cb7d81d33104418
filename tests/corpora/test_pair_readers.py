"""Each layout of preference data, row by row: what becomes of a good row, and why another is refused or
removed.
"""

import json

import pytest
from pydantic import ValidationError

from pipelines.corpora.preferences.preference_set import read_source
from tests.corpora.made import write_lines
from tests.corpora.pairs_made import from_rows, params


def told(sets):
    """(prompt, chosen, rejected) of every pair, and why rows are bad."""
    pairs = sorted((pair.prompt, pair.chosen, pair.rejected) for pair in sets.pairs["train"])
    return pairs, [first.split(": ", 1)[1] for first in sets.metrics["source"]["first_bad"]]


def hh(dialogue, chosen, rejected):
    return {"chosen": f"{dialogue}\n\nAssistant:{chosen}", "rejected": f"{dialogue}\n\nAssistant:{rejected}"}


def test_1_2_hh(tmp_path):
    two = "\n\nHuman: hi\n\nAssistant: yes?\n\nHuman: how\nso?"
    rows = [
        hh("\n\nHuman: one question", " good", " bad"),
        hh(two, " a\n\nb", " c"),
        {"chosen": f"{two}\n\nAssistant: x", "rejected": "\n\nHuman: hi\n\nAssistant: y"},  # prefixes differ
        hh(two, "", " c"),
        hh(two, " same", " same "),
        {"chosen": "\n\nHuman: no answer", "rejected": "\n\nHuman: no answer"},
        hh("told before\n\nHuman: ask", " a", " b"),
        hh("\n\nHuman: ask\n\nAssistant: answered", " a", " b"),
        {"chosen": "\n\nHuman: x\n\nAssistant: y"},
    ]
    sets = from_rows(tmp_path, "hh", rows)
    pairs, bad = told(sets)
    assert pairs == [
        ("Human: hi\n\nAssistant: yes?\n\nHuman: how\nso?", "a\n\nb", "c"),
        ("one question", "good", "bad"),
    ]
    assert bad == [
        "chosen has no turn of the Assistant",
        "the dialogue does not begin with a turn",
        "the prompt ends with a turn of the assistant, not of the user",
        "no column rejected",
    ]
    assert sets.metrics["removed"] == {"prefixes_differ": 1, "empty_answer": 1, "equal_answers": 1}


def test_hh_dialogues_with_one_opening_stay_together(tmp_path):
    rows = []
    for n in range(30):
        opening = f"\n\nHuman: opening number {n}"
        rows += [
            hh(opening, " a", " b"),
            hh(f"{opening}\n\nAssistant: go on\n\nHuman: more of {n}", " c", " d"),
        ]
    sets = from_rows(tmp_path, "hh", rows, validation_share=0.3, heldout_share=0.3)
    side_of = {}
    for side, pairs in sets.pairs.items():
        for pair in pairs:
            side_of.setdefault(pair.prompt.split("number ")[1].split()[0].strip(), set()).add(side)
    assert len(side_of) == 30
    assert all(len(sides) == 1 for sides in side_of.values())
    assert {side for sides in side_of.values() for side in sides} == {"train", "validation", "heldout"}
    assert sets.metrics["leakage"]["keys_on_two_sides"] == 0


def test_pandalm(tmp_path):
    row = {
        "instruction": "Do it.",
        "input": "",
        "response1": "r1",
        "response2": "r2",
        "annotator1": 2,
        "annotator2": 1,
        "annotator3": 2,
    }
    votes = ((1, 1, 0), (0, 0, 2), (0, 1, 2), (1, 3, 1))
    rows = [
        row,
        {
            **row,
            "instruction": "Use this.",
            "input": "the input",
            **dict(zip(("annotator1", "annotator2", "annotator3"), votes[0], strict=True)),
        },
    ]
    rows += [
        {
            **row,
            "instruction": str(vote),
            **dict(zip(("annotator1", "annotator2", "annotator3"), vote, strict=True)),
        }
        for vote in votes[1:]
    ]
    rows += [{**row, "response2": True}]
    sets = from_rows(tmp_path, "pandalm", rows)
    pairs, bad = told(sets)
    assert pairs == [("Do it.", "r2", "r1"), ("Use this.\n\nthe input", "r1", "r2")]
    assert bad == ["annotator2 is 3, not one of 0, 1, 2", "response2 is bool, not text"]
    assert sets.metrics["removed"] == {"no_agreement": 1, "tie": 1}
    with pytest.raises(
        ValueError, match=r"preferences pandalm: no training pair is left of 0 rows \(no_agreement 4\)"
    ):
        from_rows(tmp_path, "pandalm", rows, {"agreement": 3})


def test_llama_factory(tmp_path):
    turns = [{"from": "system", "value": "be brief"}, {"from": "human", "value": "ask"}]
    dpo = {
        "conversations": turns,
        "chosen": {"from": "gpt", "value": "good"},
        "rejected": {"from": "gpt", "value": "bad"},
    }
    kto = [
        {
            "messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}],
            "label": label,
        }
        for prompt, answer, label in (
            ("q", "yes", True),
            ("q", "no", False),
            ("q", "nope", False),
            ("alone", "x", True),
            ("q", "", True),
        )
    ]
    rows = [
        dpo,
        *kto,
        {**dpo, "chosen": {"from": "human", "value": "good"}},
        {**dpo, "conversations": [{"from": "someone", "value": "x"}]},
        {"messages": kto[0]["messages"][:1], "label": True},
        {"messages": kto[0]["messages"], "label": "yes"},
        {"text": "neither"},
    ]
    sets = from_rows(tmp_path, "llama_factory", rows)
    pairs, bad = told(sets)
    assert pairs == [
        ("System: be brief\n\nHuman: ask", "good", "bad"),
        ("q", "yes", "no"),
        ("q", "yes", "nope"),
    ]
    assert bad == [
        "chosen is a turn of the user, not of the assistant",
        "conversations[0].from is 'someone', not one of system, developer, user, human, assistant, gpt, chatgpt, model, tool, observation",
        "messages does not end with a turn of the assistant",
        "label is 'yes', not true or false",
        "no column conversations or messages",
    ]
    assert sets.metrics["pairing"] == {"answers": 5, "empty_answer": 1, "no_contrast": 1, "pairs": 2}


def test_a_json_array_reads_as_lines_do(tmp_path):
    rows = [
        {
            "instruction": f"i{n}",
            "response1": "a",
            "response2": "b",
            "annotator1": 1,
            "annotator2": 1,
            "annotator3": 1,
        }
        for n in range(3)
    ]
    (tmp_path / "rows.json").write_text(json.dumps([*rows, 5], indent=1))
    options = {"splits": {"train": "rows.json"}}
    sets = from_rows(tmp_path, "pandalm", rows, options)
    assert told(sets)[0] == told(from_rows(tmp_path, "pandalm", rows))[0]
    assert sets.metrics["source"]["first_bad"][0].endswith("rows.json:row 4: not an object but int")


def test_beavertails(tmp_path):
    harm = {"violence": True, "theft": False}
    answers = [
        ("q", "no", True),
        ("q", "sure", False),
        ("q", "ok", False),
        ("q", "ok", True),
        ("r", "alone", False),
    ]
    rows = [
        {"prompt": p, "response": a, "is_safe": s, "category": harm if not s else {}} for p, a, s in answers
    ]
    sets = from_rows(tmp_path, "beavertails", [*rows, {**rows[0], "is_safe": "yes"}])
    pairs, bad = told(sets)
    # `ok` was called both safe and unsafe
    assert (pairs, bad) == ([("q", "no", "sure")], ["is_safe is 'yes', not true or false"])
    pair = sets.pairs["train"][0]
    assert (pair.chosen_safe, pair.rejected_safe, pair.helpful, pair.safer) == (True, False, None, True)
    assert pair.meta["rejected"] == {"harm": ["violence"]}
    assert sets.metrics["pairing"] == {"answers": 5, "contradiction": 2, "no_contrast": 1, "pairs": 1}
    assert sets.metrics["responses"] == {"safe": 1, "unsafe": 2}


def test_xstest(tmp_path):
    def row(kind, prompt, answer, label):
        return {"type": kind, "prompt": prompt, "completion": answer, "final_label": label}

    full, refusal, partial = "1_full_compliance", "2_full_refusal", "3_partial_refusal"
    rows = [
        row("homonyms", "kill a process?", "use kill", full),
        row("homonyms", "kill a process?", "I cannot", refusal),
        row("contrast_homonyms", "kill a man?", "so", full),
        row("contrast_homonyms", "kill a man?", "never", refusal),
        row("contrast_homonyms", "kill a man?", "never, but", partial),
        row("other", "x", "y", full),
        row("homonyms", "x", "y", "4_unknown"),
    ]
    sets = from_rows(tmp_path, "xstest", rows)
    pairs, bad = told(sets)
    assert pairs == [
        ("kill a man?", "never", "never, but"),
        ("kill a man?", "never", "so"),
        ("kill a man?", "never, but", "so"),
        ("kill a process?", "use kill", "I cannot"),
    ]
    assert [reason.split(",")[0] for reason in bad] == ["type is 'other'", "final_label is '4_unknown'"]
    assert sets.metrics["classes"]["train"] == {"dual_safe": 1, "mixed": 2, "dual_unsafe": 1, "unflagged": 0}
    dropped = from_rows(tmp_path, "xstest", rows, {"partial": "drop"})
    assert told(dropped)[0] == [pairs[1], pairs[3]]
    assert dropped.metrics["removed"] == {"partial_refusal": 1}


def test_table(tmp_path):
    columns = {"prompt": "ask.text", "chosen": "a", "rejected": "b", "label": "best", "key": "topic"}
    options = {"columns": columns, "labels": {"chosen": ["A"], "rejected": ["B"], "tie": ["="]}}
    rows = [
        {"ask": {"text": f"q{n}"}, "a": "one", "b": "two", "best": best, "topic": "t"}
        for n, best in enumerate("AB=C")
    ]
    sets = from_rows(tmp_path, "table", rows, options)
    pairs, bad = told(sets)
    assert pairs == [("q0", "one", "two"), ("q1", "two", "one")]
    assert bad == ["best is 'C', not one of A, B, ="]
    assert sets.metrics["removed"] == {"tie": 1}


def test_table_of_chats(tmp_path):
    def chat(*texts):
        return [
            {"role": "user" if n % 2 == 0 else "assistant", "content": text} for n, text in enumerate(texts)
        ]

    rows = [
        {"chosen": chat("hi", "good"), "rejected": chat("hi", "bad")},
        {"chosen": chat("hi", "good"), "rejected": chat("ho", "bad")},
        {"chosen": chat("hi"), "rejected": chat("hi", "bad")},
        {"chosen": chat("a", "b", "c", "d"), "rejected": chat("a", "b", "c", "e")},
    ]
    sets = from_rows(tmp_path, "table", rows, {"columns": {"prompt": None}})
    pairs, bad = told(sets)
    assert pairs == [("Human: a\n\nAssistant: b\n\nHuman: c", "d", "e"), ("hi", "good", "bad")]
    assert bad == [
        "chosen and rejected begin with different turns",
        "chosen does not end with a turn of the assistant",
    ]
    assert not sets.metrics["removed"]


def test_table_with_flags_goes_through_the_merge_rule(tmp_path):
    columns = {"chosen_safe": "s1", "rejected_safe": "s2", "safer": "l"}
    rows = [
        {"prompt": f"q{n}", "chosen": "a", "rejected": "b", "s1": s1, "s2": s2, "l": label}
        for n, (s1, s2, label) in enumerate(
            [(True, True, 1), (False, True, 1), (False, False, 1), (True, False, 1)]
        )
    ]
    sets = from_rows(tmp_path, "table", rows, {"columns": columns})
    assert told(sets)[0] == [("q0", "a", "b"), ("q1", "b", "a"), ("q2", "b", "a")]
    assert sets.metrics["removed"] == {"mixed_prefers_unsafe": 1}
    with pytest.raises(ValidationError, match="must both be named"):
        params({"kind": "table", "splits": {"train": "x"}, "columns": {"chosen_safe": "s"}})


def test_parquet_reads_as_lines_do(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [
        {"prompt": f"q{n}", "response": str(safe), "is_safe": safe, "category": {"theft": not safe}}
        for n in range(3)
        for safe in (True, False)
    ]
    lines = from_rows(tmp_path, "beavertails", rows)
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "rows.parquet")
    assert (
        from_rows(tmp_path, "beavertails", rows, {"splits": {"train": "rows.parquet"}}).pairs == lines.pairs
    )


def test_a_side_must_have_the_rows_that_are_expected(tmp_path):
    write_lines(tmp_path / "rows.jsonl", [hh("\n\nHuman: q", " a", " b")])
    settings = params({"kind": "hh", "splits": {"train": "rows.jsonl"}, "expected": {"train": 2312}})
    with pytest.raises(ValueError, match=r"train \(rows\.jsonl\) has 1 rows, expected\.train says 2312"):
        read_source("hh", settings, tmp_path, 0)


def test_a_missing_file_and_an_id_that_is_not_at_hand(tmp_path, monkeypatch):
    with pytest.raises(
        FileNotFoundError, match=r"no file .*none\.jsonl; preferences\.<name>\.origin names the folder"
    ):
        read_source("hh", params({"kind": "hh", "splits": {"train": "none.jsonl"}}), tmp_path, 0)
    pytest.importorskip("datasets")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    pinned = params(
        {"kind": "safe_rlhf", "id": "nobody/nothing", "revision": "abc123", "splits": {"train": "train"}}
    )
    with pytest.raises(
        ValueError,
        match=r"nobody/nothing \(revision abc123\) .* is not at hand: .*set execution\.offline to false",
    ):
        read_source("s", pinned, tmp_path, 0)
    with pytest.raises(
        ValidationError,
        match="known: beavertails, code_samples, hh, llama_factory, pandalm, safe_rlhf, sampled, table, trl, xstest",
    ):
        params({"kind": "nothing"})


def test_a_data_set_from_outside(tmp_path):
    """A folder, read as the snapshot of a Hugging Face id is."""
    pytest.importorskip("datasets")
    (tmp_path / "hub").mkdir()
    rows = [
        {"prompt": f"q{n}", "response": str(safe), "is_safe": safe, "category": {"theft": not safe}}
        for n in range(2)
        for safe in (True, False)
    ]
    write_lines(tmp_path / "hub/train.jsonl", rows)
    write_lines(tmp_path / "hub/test.jsonl", [{**row, "prompt": f"held out {row['prompt']}"} for row in rows])
    splits = {"train": "train", "heldout": "test"}
    sets = from_rows(tmp_path, "beavertails", [], {"id": str(tmp_path / "hub"), "splits": splits})
    assert sets.metrics["pairs"] == {"train": 2, "validation": 0, "heldout": 2}
