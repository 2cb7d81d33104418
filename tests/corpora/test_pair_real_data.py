"""The real preference files, where they are at hand: the counts that their notes state, and what becomes of
them.
"""

import json

from pipelines.corpora.pairs.xstest import UNSAFE_TYPES
from pipelines.corpora.preferences.preference_set import read_source
from pipelines.corpora.raw.ledger import Ledger
from pipelines.corpora.raw.rows import read_rows
from tests.corpora.made import CHAR, corpus_of, real
from tests.corpora.pairs_made import build_and_tokenise, byte_tokens, params

WIDE = {"max_prompt_tokens": 20_000, "max_answer_tokens": 10_000, "max_tokens": 40_000, "max_bad_rows": 0.01}
HH = "harmless_base_test.jsonl.gz"


def sets(tmp_path, folder, kind, file, **options):
    settings = params({"kind": kind, "splits": {"train": file}, **options}, heldout_share=0.1, **WIDE)
    return build_and_tokenise(
        kind, settings, read_source(kind, settings, folder, 0), byte_tokens(tmp_path), {}, 0
    )


def test_1_2_hh_harmless_base_test(tmp_path):
    """The whole test split has 2,312 lines; the copy here is the 1,858 whose opening was not kept from the
    developers.
    """
    folder = real("preferences/hh_rlhf_harmless")
    found = sets(tmp_path, folder, "hh", HH, expected={"train": 1858})
    assert found.metrics["source"]["read"] == 1858
    assert found.metrics["removed"] == {"prefixes_differ": 3, "empty_answer": 4}
    assert all(
        reason.endswith("after one of the assistant: roles are out of order")
        for reason in found.metrics["source"]["reasons"]
    )
    assert (found.metrics["source"]["bad"], sum(found.metrics["pairs"].values())) == (3, 1848)
    assert (
        found.metrics["leakage"]["keys_on_two_sides"] == found.metrics["leakage"]["groups_on_two_sides"] == 0
    )
    pair = found.pairs["train"][0]
    assert byte_tokens(tmp_path).decode(pair.chosen_ids) == pair.chosen
    assert not any("\n\nHuman:" in pair.chosen + pair.rejected for pair in found.pairs["train"])


def test_xstest(tmp_path):
    folder = real("preferences/xstest")
    ledger = Ledger("prompts")
    labels = {
        row["id"]: (row["label"], row["type"]) for _, row in read_rows(folder / "prompts.jsonl", ledger)
    }
    assert len(labels) == 360
    # the type alone tells the label
    assert all((label == "unsafe") == (kind in UNSAFE_TYPES) for label, kind in labels.values())
    found = sets(tmp_path, folder, "xstest", "completions_mistral_labelled.jsonl", expected={"train": 720})
    assert found.metrics["classes"]["read"] == {
        "dual_safe": 35,
        "mixed": 112,
        "dual_unsafe": 7,
        "unflagged": 0,
    }
    assert found.metrics["pairing"] == {"answers": 720, "duplicate": 4, "no_contrast": 408, "pairs": 154}
    assert all(pair.chosen_safe for pair in found.pairs["train"] if pair.chosen_safe != pair.rejected_safe)


def test_pandalm(tmp_path):
    found = sets(
        tmp_path, real("preferences/pandalm"), "pandalm", "testset_v1.jsonl", expected={"train": 845}
    )
    metrics = found.metrics
    assert metrics["source"]["reasons"] == {
        "instruction is empty": 1,
        "response1 is bool, not text": 4,
        "response2 is bool, not text": 2,
    }
    assert metrics["removed"]["tie"] == 89
    assert sum(metrics["pairs"].values()) + sum(metrics["removed"].values()) + metrics["source"]["bad"] == 845


def test_llama_factory(tmp_path):
    files = ["dpo_en_demo.jsonl.gz", "dpo_zh_demo.jsonl", "kto_en_demo.jsonl"]
    found = sets(
        tmp_path, real("preferences/llama_factory_demo"), "llama_factory", files, expected={"train": 738}
    )
    assert found.metrics["source"]["bad"] == 0
    assert found.metrics["pairing"] == {"answers": 246, "no_contrast": 244, "pairs": 1}
    assert sum(found.metrics["pairs"].values()) + sum(found.metrics["removed"].values()) == 244 + 248 + 1


def test_demonstrations_and_pairs_of_hh_have_one_split_and_one_encoding(tmp_path):
    folder = real("preferences/hh_rlhf_harmless")
    shares = {"validation_share": 0.05, "heldout_share": 0.1}
    value = {
        "raw": "raw",
        "sources": {"hh": {"reader": "dialogues", "layout": "hh", "splits": {"train": HH}}},
        "near": None,
        "decontaminate": {"ngram": None, "near": False},
        "tokenizer": CHAR,
        "max_prompt_tokens": 512,
        "max_response_tokens": 512,
        **shares,
    }
    corpus = corpus_of("hh", value, folder, 0, tmp_path / "tokenizer")
    reasons = corpus.metrics["sources"]["hh"]["reasons"]
    assert (reasons["prefixes differ"], reasons["the preferred answer is empty"]) == (3, 4)
    assert sum(reasons.values()) == 10  # three prompts hold two turns of the assistant in a row
    prompts = {file: [record.prompt for record in records] for file, records in corpus.records.items()}
    settings = params(
        {"kind": "hh", "splits": {"train": HH}}, max_prompt_tokens=512, max_answer_tokens=512, **shares
    )
    pairs = build_and_tokenise(
        "hh", settings, read_source("hh", settings, folder, 0), corpus.tokens, prompts, 0
    )
    leakage = pairs.metrics["leakage"]
    assert (
        leakage["in_corpus_heldout"],
        leakage["heldout_in_corpus_training"],
        leakage["train_gave_way"],
    ) == (0, 0, {})
    demonstrated = {record.prompt: record for record in corpus.records["sft"]}
    shared = [pair for pair in pairs.pairs["train"] if pair.prompt in demonstrated]
    assert len(shared) > 600
    assert all(demonstrated[pair.prompt].prompt_ids == pair.prompt_ids for pair in shared)
    assert sum(demonstrated[pair.prompt].response_ids == pair.chosen_ids for pair in shared) > 0.97 * len(
        shared
    )
    json.dumps(pairs.metrics)
