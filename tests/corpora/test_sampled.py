"""Judged samples as a source: from the stage that made them or from a file, plain pairs or safety records."""

import pytest

from pipelines.corpora.pairs.sampled import Sampled, preferences, with_safety
from pipelines.corpora.pairs.sampled_params import SampledParams
from pipelines.corpora.preferences.pairing import Judged
from pipelines.corpora.preferences.preference_set import SourceItems, read_source
from tests.corpora.made import write_lines
from tests.corpora.pairs_made import build_and_tokenise, byte_tokens, params


def one(text, passed, *ids):
    return Judged(text, ids or tuple(text.encode()), float(passed), passed, True)


PROMPTS = [
    Sampled("q:1", "ask 1", (one("#### 3", True), one("#### 4", False), one("#### 4", False))),
    Sampled("q:2", "ask 2", (one("#### 3", True), one("#### 3", True)), "heldout"),
    Sampled(
        "q:3", "ask 3", (one("#### 7", True, 7, 7), one("#### 77", False), one("#### 1", False)), "heldout"
    ),
]


def test_pairs_of_a_checker(tmp_path):
    source = SampledParams(pairing={"kind": "best_worst"})
    found, counts = preferences(PROMPTS, source, "s", 0)
    assert [(pair.prompt, pair.side, pair.chosen, pair.rejected) for pair in found] == [
        ("ask 1", "train", "#### 3", "#### 4"),
        ("ask 3", "heldout", "#### 7", "#### 77"),
    ]
    assert found[1].ids == ((7, 7), tuple(b"#### 77"))
    assert counts == {"prompts": 3, "samples": 8, "pairs": 2, "prompts_with_pairs": 2, "small_gap": 1}
    sets = build_and_tokenise(
        "s",
        params({"kind": "sampled"}),
        SourceItems(found, pairing=counts),
        byte_tokens(tmp_path),
        {"heldout": ["ask 3"]},
        0,
    )
    assert sets.metrics["pairs"] == {"train": 1, "validation": 0, "heldout": 1}
    assert sets.metrics["pairing"]["small_gap"] == 1
    assert sets.pairs["heldout"][0].chosen_ids == [7, 7]
    assert sets.pairs["train"][0].meta == {"scores": [1.0, 0.0]}


def test_safety_records_go_through_rule_and_filters(tmp_path):
    source = SampledParams(safety={"pairs": 9})
    judged = [Sampled(p.id, p.prompt, with_safety(p.judged, source.safety), "train") for p in PROMPTS]
    found, counts = preferences(judged, source, "s", 0)
    assert counts["duplicate_text"] == 2
    settings = params({"kind": "sampled", "safety": {}})
    tokens = byte_tokens(tmp_path)
    sets = build_and_tokenise("s", settings, SourceItems(found, pairing=counts), tokens, {}, 0)
    assert sorted((pair.chosen, pair.rejected) for pair in sets.pairs["train"]) == [
        ("#### 1", "#### 7"),  # wrong but safe beats right but forbidden
        ("#### 1", "#### 77"),
        ("#### 3", "#### 4"),
        ("#### 7", "#### 77"),  # both forbidden: the smaller harm
    ]
    assert sets.metrics["classes"]["train"] == {"dual_safe": 1, "mixed": 2, "dual_unsafe": 1, "unflagged": 0}
    filtered = params({"kind": "sampled", "safety": {}}, filters={"dual_unsafe": True})
    assert build_and_tokenise("s", filtered, SourceItems(found), tokens, {}, 0).metrics["pairs"]["train"] == 3


def test_a_file_of_judged_samples(tmp_path):
    sample = {"text": "x = 3\n#### 3", "score": 1.0, "passed": True}
    rows = [
        {
            "id": "1",
            "prompt": "ask",
            "samples": [sample, {"text": "y = 7\n#### 7", "score": 0.0, "passed": False}],
        },
        {"id": "2", "prompt": "ask", "side": "nowhere", "samples": [sample]},
        {"id": "3", "prompt": "ask", "samples": [{**sample, "score": "high"}]},
        {"id": "4", "prompt": "ask"},
        {
            "id": "5",
            "prompt": "code",
            "solution": "x = 1",
            "samples": [{"text": "x = 2", "score": 0, "passed": False, "ids": [3]}],
        },
    ]
    write_lines(tmp_path / "judged.jsonl", rows)
    settings = params({"kind": "sampled", "file": "judged.jsonl", "pairing": {"kind": "code"}})
    found = read_source("s", settings, tmp_path, 0)
    assert [first.split(": ", 1)[1] for first in found.ledger["first_bad"]] == [
        "side is 'nowhere', not one of train, validation, heldout",
        "samples.score is no number",
        "samples is no list of objects",
    ]
    pairs = build_and_tokenise("s", settings, found, byte_tokens(tmp_path), {}, 0).pairs["train"]
    assert sorted((pair.chosen, pair.rejected) for pair in pairs) == [
        ("x = 1", "x = 2"),
        ("x = 3\n#### 3", "y = 7\n#### 7"),
    ]
    assert [pair.rejected_ids for pair in pairs if pair.prompt == "code"] == [[3]]
    safe = params({"kind": "sampled", "file": "judged.jsonl", "safety": {}})
    (record,) = read_source("s", safe, tmp_path, 0).items
    assert (record.chosen_safe, record.rejected_safe, record.helpful, record.safer) == (
        True,
        False,
        True,
        True,
    )
    with pytest.raises(ValueError, match="file is null, so origin is a model that must be sampled first"):
        read_source("s", params({"kind": "sampled"}), tmp_path, 0)
