"""On a task small enough for seconds, SFT learns from demonstrations and RL adds accuracy that the
demonstrations did not give.
"""

import json
import os
from pathlib import Path

import pytest

from pipelines.corpora.records.record import Record
from pipelines.models import policy
from tests.text_files import write_records
from tests.tiny import make_tiny_model, make_tiny_tokens
from tests.training.stages import make_stage, run

SFT = {
    "steps": 200,
    "batch_size": 32,
    "optimiser": {"kind": "muon", "learning_rate": 5e-3, "muon_learning_rate": 0.02},
}
GRPO = {
    "iterations": 60,
    "prompts": 10,
    "sampler": {"kind": "flat", "samples": 8},
    "sampling": {"max_new_tokens": 8},
    "validation_every": 60,
    "validation_size": 10,
    # at 3e-3 two early updates can undo the format, by the machine's rounding
    "optimiser": {"learning_rate": 1e-3},
}


def records(tokens, sloppy):
    """`d` -> d + 1 modulo 10. A sloppy teacher works half of the time and says 0 the other half."""
    made = []
    for index in range(200):
        digit, turn = index % 10, index // 10
        answer = str((digit + 1) % 10)
        shown = "0" if sloppy and turn % 2 else answer
        response = f"#### {shown}"
        made.append(
            Record(
                f"{index}",
                str(digit),
                response,
                answer,
                "next",
                1,
                "t",
                tokens.encode_prompt(str(digit)),
                tokens.encode_response(response),
            )
        )
    return made


@pytest.mark.parametrize("seed", [0, 1])
def test_rl_raises_accuracy_over_sft_on_a_tiny_task(tmp_path, monkeypatch, seed):
    tokens = make_tiny_tokens(tmp_path / "data/tiny/tokenizer")
    (tmp_path / "data/tiny/records").mkdir()
    for name, sloppy in (("sft", True), ("rl", False), ("validation", False), ("heldout", False)):
        write_records(tmp_path / f"data/tiny/records/{name}.jsonl", records(tokens, sloppy))
    policy.save(make_tiny_model(tokens, seed), tokens, tmp_path / "models/base/model")
    monkeypatch.chdir(tmp_path)
    sections = {"sft.common": SFT, "rl.methods.grpo": GRPO}
    for name, out in (("sft@sft", "models/sft/model"), ("rl@grpo", "curves/grpo.jsonl")):
        stage = make_stage(tmp_path, name, sections=sections)
        run(stage)
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        os.replace(stage.work / "outs" / out, out)
    rows = [json.loads(line) for line in Path("curves/grpo.jsonl").read_text().splitlines()]
    trained = rows[1:]
    before = sum(row["accuracy"] for row in trained[:3]) / 3
    after = sum(row["accuracy"] for row in trained[-3:]) / 3
    assert 0.3 < before < 0.7, "SFT copies its teacher, sloppiness included"
    assert after > before + 0.25
    assert rows[-1]["validation_sampled"] > 0.8
    assert rows[-1]["validation_greedy"] > 0.8
    assert rows[-1]["kl"] > rows[0]["kl"] - 1e-6
    assert trained[-1]["entropy"] < trained[0]["entropy"]
    assert max(row.get("mismatch", 0.0) for row in trained) < 1e-5
