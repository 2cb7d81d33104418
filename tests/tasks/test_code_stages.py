"""Code problems through the stages, from raw rows to pass@k, on programs of one line that a tiny model learns
to write.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipelines.corpora.preferences.pair import read_pair_examples
from pipelines.corpora.records.example import read_examples
from pipelines.rewards.sandbox.probe import working_mode
from tests.corpora.made import write_lines
from tests.rewards.code_made import QUICK
from tests.tasks.preference_inputs import OPTIMISER, model_outs, run_stage

pytestmark = pytest.mark.skipif(
    working_mode() is None, reason="no sandbox can be made here; `whetstone doctor` says why"
)

REWARD = {"kind": "code_tests", "limits": QUICK}
CORPUS: dict[str, Any] = {
    "raw": "raw",
    "sources": {
        "lines": {
            "reader": "code",
            "layout": "code_contests",
            "splits": {"train": "train.jsonl", "heldout": "test.jsonl"},
        }
    },
    "reward": "code_tests",
    "validation_share": 0.2,
    "near": None,
    "decontaminate": {"ngram": None, "near": False},
}
SET: dict[str, Any] = {"near": None, "decontaminate": {"ngram": None, "near": False}, "validation_share": 0.0}
SAMPLED: dict[str, Any] = {
    "origin": "models/sft/model",
    "data": "lines",
    "source": {
        "kind": "sampled",
        "samples": 5,
        "sampling": {"temperature": 1.5, "max_new_tokens": 12},
        "prompts": {"train": 8, "validation": 4},
        "reward": REWARD,
        "pairing": {"kind": "code"},
    },
} | SET
RECORDS = "data/lines/records"
TOKENIZER = {"kind": "char"}


def problem(question: str, number: int) -> dict[str, Any]:
    tests = {"input": [""], "output": [f"{number}\n"]}
    solutions = {"language": [3], "solution": [f"print({number})"]}
    return {
        "name": question,
        "description": question,
        "private_tests": tests,
        "solutions": solutions,
        "difficulty": 0,
    }


def stage(name: str, params: dict[str, Any], inputs: list[str], outs: list[str], work: str = "work") -> Any:
    return run_stage(name, params, inputs, outs, work)


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("code")
    here = Path.cwd()
    os.chdir(folder)
    Path("raw").mkdir()
    asked = {"train.jsonl": ("Say {}", "Show {}", "Print {}", "Write {}"), "test.jsonl": ("Print a {}",)}
    for file, forms in asked.items():
        write_lines(
            Path("raw") / file,
            [problem(form.format(number), number) for form in forms for number in range(10)],
        )
    stage("corpus@lines", {"corpus.lines": CORPUS}, ["raw"], [RECORDS, "metrics/corpus/lines.json"])
    shape = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "layers": 2,
        "heads": 2,
        "kv_heads": 1,
        "context": 64,
    }
    stage(
        "base@base",
        {"base.runs.base": {"data": "lines", "architecture": shape, "tokenizer": TOKENIZER}},
        [RECORDS],
        ["models/base/model"],
    )
    sft = {
        "steps": 90,
        "batch_size": 16,
        "validation_every": 45,
        "optimiser": {"kind": "muon", "learning_rate": 3e-3},
    }
    own = {"sft.common": sft, "sft.runs.sft": {"start": "base", "data": "lines"}}
    stage("sft@sft", own, ["models/base/model", RECORDS], model_outs("sft"))
    outs = ["data/code/pairs", "data/code/records", "metrics/preferences/code.json"]
    stage("preferences@code", {"preferences.code": SAMPLED}, ["models/sft/model", RECORDS], outs)
    yield folder
    os.chdir(here)


def metrics(path: str) -> dict[str, Any]:
    return json.loads(Path(path).read_text())


def curve(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"curves/{name}.jsonl").read_text().splitlines()]


def test_the_corpus_holds_the_tests():
    record = read_examples(f"{RECORDS}/heldout.jsonl")[0]
    assert record.meta["code"]["hidden_tests"][0]["input"] == ""
    assert record.answer.startswith("print(")


def test_pairs_of_the_models_own_programs():
    pairing = metrics("metrics/preferences/code.json")["pairing"]
    assert (pairing["prompts"], pairing["samples"]) == (12, 60)
    pairs = read_pair_examples("data/code/pairs/train.jsonl")
    assert pairs
    wanted = {record.prompt: record.answer for record in read_examples(f"{RECORDS}/rl.jsonl")}
    for pair in pairs:
        assert eval(f"[{pair.chosen[6:-1]}]") == eval(f"[{wanted[pair.prompt][6:-1]}]")
        assert pair.chosen != pair.rejected
    again = ["data/code/pairs", "data/code/records", "metrics/preferences/code.json"]
    before = Path("data/code/pairs/train.jsonl").read_bytes()
    stage(
        "preferences@code",
        {"preferences.code": SAMPLED},
        ["models/sft/model", RECORDS],
        again,
        "again",
    )
    assert Path("data/code/pairs/train.jsonl").read_bytes() == before


def test_reinforcement_from_tests():
    common = {
        "reward": REWARD,
        "prompts": 6,
        "iterations": 3,
        "sampling": {"max_new_tokens": 12},
        "validation_every": 3,
        "validation_size": 4,
    }
    own = {
        "sampler": {"kind": "flat", "samples": 4},
        "optimiser": {"learning_rate": 1e-3},
        "zero_signal": "count",
    }
    stage(
        "rl@grpo",
        {
            "rl.common": common,
            "rl.methods.grpo": own,
            "rl.runs.grpo": {"method": "grpo", "start": "sft", "data": "lines"},
        },
        ["models/sft/model", RECORDS],
        model_outs("grpo"),
    )
    rows = curve("grpo")
    assert all(row["reward"] == pytest.approx(10 * row["accuracy"]) for row in rows if "reward" in row)
    assert rows[-1]["validation_greedy"] >= 0


def test_dpo_on_those_pairs():
    params = {"dpo.runs.dpo.start": "sft", "dpo.runs.dpo.data": "code"}
    stage("reference@dpo", params, ["models/sft/model", "data/code/pairs"], ["data/reference/dpo"])
    common = {"steps": 4, "batch_size": 4, "max_tokens": 64, "validation_every": 2, "optimiser": OPTIMISER}
    inputs = ["models/sft/model", "data/code/pairs", "data/reference/dpo"]
    stage(
        "dpo@dpo",
        {"dpo.common": common, "dpo.runs.dpo": {"start": "sft", "data": "code"}},
        inputs,
        model_outs("dpo"),
    )
    assert curve("dpo")[0]["loss"] == pytest.approx(0.693147, abs=1e-6)


def test_pass_at_k_and_degenerate_programs():
    settings = {
        "reward": REWARD | {"tests": "hidden"},
        "samples": 4,
        "submissions": [1, 2, 4, 8],
        "sampling": {"max_new_tokens": 12},
    }
    outs = ["metrics/evaluate/sft.json", "samples/sft.jsonl"]
    own = {"model": "sft", "data": "lines"} | settings
    stage("evaluate@sft", {"evaluate.runs.sft": own}, ["models/sft/model", RECORDS], outs)
    found = metrics(outs[0])
    code = found["code"]
    assert set(code["pass_at_k"]) == {"1", "2", "4"}
    assert code["pass_at_k"]["1"]["mean"] == pytest.approx(found["heldout"]["sampled"]["accuracy"])
    means = [code["pass_at_k"][k]["mean"] for k in "124"]
    assert means == sorted(means)
    assert set(code["k_at_n"]) == {"1", "2"}
    assert sum(code["statuses"].values()) == 40
    assert code["degenerate"]["n"] == 40
    assert code["errors"] == 0
