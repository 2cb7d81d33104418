"""Conversations through `whetstone …` in a clone of the whole repository: rows of turns and a pretrained
folder with a chat template of its own, to demonstrations, a policy that stops at a turn's end, pairs and DPO;
and what `show` and `doctor` say of them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.doctor import _templates
from flows.show import show
from tests import clone
from tests.corpora.made import write_lines
from tests.corpora.test_messages import message, talk
from tests.flows.toy import Project
from tests.models.chats import KINDS, write_hub_folder

OPEN = {"near": None, "decontaminate": {"ngram": None, "near": False}}
SETTINGS = {
    "corpus.chats": {
        "raw": "raw/chats",
        "sources": {
            "talks": {"reader": "messages", "splits": {"sft": "talks.jsonl"}},
            "sums": {"reader": "table", "splits": {"rl": "sums.jsonl", "heldout": "held.jsonl"}},
        },
        "validation_share": 0,
        **OPEN,
    },
    "base.runs": {"base": {"data": "none"}},
    "sft.runs": {"sft": {"start": "base", "data": "chats"}},
    "base.common.architecture": None,
    "base.common.pretrained": "raw/hub",
    "preferences": {
        "likes": {
            "origin": "raw/likes.jsonl",
            "data": "chats",
            "judge": "none",
            "source": {"kind": "trl", "splits": {"train": "likes.jsonl"}},
            "validation_share": 0.0,
            **OPEN,
        }
    },
    "reward_model.runs": {},
    "dpo.runs": {"dpo": {"start": "sft", "data": "likes"}},
    "dpo.common.validation_every": 0,
    "dpo.common.batch_size": 4,
    "dpo.common.max_tokens": 200,
    "sft.common.max_tokens": 200,
    **{"assess.models": {}, "wins": {}, "judgements": {}, "verifier.runs": {}},
    "rl.runs": {"grpo": {"method": "grpo", "start": "sft", "data": "chats", "judge": "none"}},
    "evaluate.runs": {name: {"model": name, "data": "chats"} for name in ("sft", "grpo")},
    "rl.common.sampling.max_new_tokens": 16,
}


def write_hub(folder: Path) -> None:
    """A tiny model with Gemma's template, whose turns do not end in EOS."""
    from transformers import LlamaConfig, LlamaForCausalLM

    write_hub_folder(folder, KINDS["gemma"])
    shape = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=400, max_position_embeddings=256, bos_token_id=1, eos_token_id=2, **shape)
    )
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, learning_python: str) -> Project:
    made = clone.make(tmp_path_factory.mktemp("chats") / "project", SETTINGS, learning_python)
    raw = made.folder / "raw"
    (raw / "chats").mkdir()
    write_lines(
        raw / "chats/talks.jsonl",
        [{"messages": talk(f"Say {n}.", str(n), "And next?", str(n + 1))} for n in range(40)],
    )
    sums = [
        {"question": [*talk("1+1?", "#### 2"), message("user", f"{n}+{n}?")], "answer": str(2 * n)}
        for n in range(2, 30)
    ]
    write_lines(raw / "chats/sums.jsonl", sums[5:])
    write_lines(raw / "chats/held.jsonl", sums[:5])
    likes = [
        {"chosen": talk(f"Is {n} a number?", "Yes."), "rejected": talk(f"Is {n} a number?", "Perhaps not.")}
        for n in range(20)
    ]
    write_lines(raw / "likes.jsonl", likes)
    write_hub(raw / "hub")
    made.patience = 500
    return made


LOOP = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_turns_through_the_stages(project: Project):
    wanted = {"corpus@chats", "base@base", "sft@sft", "rl@grpo", "preferences@likes"}
    ended = project.run("rl@grpo", "preferences@likes")["stages"]
    assert {ended[name]["ended"] for name in wanted} == {"run"}
    for model in ("sft", "grpo"):
        folder = project.folder / "models" / model / "model"
        tokens, generation = (
            json.loads((folder / name).read_text()) for name in ("tokens.json", "generation_config.json")
        )
        assert generation["eos_token_id"] == tokens["stop_ids"] == [tokens["eos_id"], tokens["end_id"]]
        assert generation["pad_token_id"] == tokens["pad_id"]
    rows = {row["stage"]: row["action"] for row in project.plan_rows("rl@grpo", "preferences@likes")}
    assert wanted <= set(rows)
    assert set(rows.values()) == {"keep"}

    one = show(project.folder, "corpus@chats", 3).as_json()["sequences"][0]
    assert [part["text"] for part in one["parts"] if part["loss"]] == [
        f"{n}<end_of_turn>" for n in _said(one["text"])
    ]
    assert one["text"].startswith("<bos><start_of_turn>user\nSay ")
    assert (len(one["mask"]), sum(one["mask"])) == (one["tokens"], one["loss_tokens"])
    text = project.call("show", "corpus@chats", "--row", "3").stdout
    assert "<start_of_turn>model\n[[" in text
    assert "a response ends with <eos> (" in text
    base = project.folder / ".whetstone/logs"
    said = [
        line for log in base.rglob("base-base.log") if log.is_file() for line in log.read_text().splitlines()
    ]
    assert any("template: the tokenizer's own chat template" in line for line in said)
    shown = json.loads(project.call("show", "corpus@chats", "--file", "rl", "--json").stdout)
    assert shown["stop_tokens"] == ["<eos>", "<end_of_turn>"]
    (question,) = shown["sequences"]
    assert question["text"].endswith("<start_of_turn>model\n")
    assert "model\n#### 2<end_of_turn>\n<start_of_turn>user\n" in question["text"]
    assert question["loss_tokens"] == 0
    pair = show(project.folder, "preferences@likes", 0).as_json()["sequences"]
    assert [[part["text"] for part in each["parts"] if part["loss"]] for each in pair] == [
        ["Yes.<end_of_turn>"],
        ["Perhaps not.<end_of_turn>"],
    ]
    assert project.call("show", "corpus@chats", "--row", "99").returncode == 2
    assert "whetstone run corpus@exam" in project.call("show", "corpus@exam").stderr
    assert "exam is not there" in project.call("show", "exam").stderr
    findings = {finding.what: finding for finding in _templates(project.folder)}
    assert findings.keys() == {"template of corpus@chats", "template of preferences@likes"}
    finding = findings["template of corpus@chats"]
    assert "[[" in finding.said
    assert "a response ends with <eos>, <end_of_turn>" in finding.said

    project.set(
        "base.runs.base.template",
        {"jinja": LOOP + KINDS["gemma"].template, "prompt": "{query}", "chat": True},
    )
    ran = project.python_call("-m", "tasks", "base@base")  # what `run` starts as the stage's process
    assert ran.returncode == 1
    assert "chat template of" in ran.stderr
    assert "did not end within 5 s" in ran.stderr


def _said(text: str) -> list[int]:
    first = int(text.partition("Say ")[2].partition(".")[0])
    return [first, first + 1]
