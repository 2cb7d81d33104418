"""`--dry-run`: each fault that is planted is found before anything is trained, a recipe without one has none,
and nothing of the project is touched.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.configured_run import Finding
from flows.graph import recipes
from flows.graph.params_file import parse
from flows.new.project import new
from flows.rehearsal.dry_run import dry_run, problems
from tests.flows.new_made import LAYOUTS, make_project, write

REWARDS = """
def right(completions, answer, **columns):
    return [float(text == truth) for text, truth in zip(completions, answer)]

def raises(completions, **columns):
    raise KeyError("no such column")

def words(completions, **columns):
    return ["good"] * len(completions)

def constant(completions, **columns):
    return [0.5] * len(completions)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    before, root = Path.cwd(), make_project(tmp_path_factory.mktemp("dry"))
    os.chdir(root)
    (root / "rewards.py").write_text(REWARDS, "utf-8")
    write(root / "raw/sums.jsonl", LAYOUTS["question_answer"][1])
    yield root
    os.chdir(before)


@pytest.fixture(scope="module")
def sums(root: Path) -> dict[str, Any]:
    """The values of params.yaml for GRPO on sums."""
    new(root, "sums", "assets/llm", ["raw/sums.jsonl"], root)
    return parse(recipes.show(root, "sums"))


def with_values(raw: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A copy with values at dotted keys, __ for a dot."""
    raw = json.loads(json.dumps(raw))
    for key, value in values.items():
        *above, last = key.split("__")
        place = raw
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    return raw


def faults(root: Path, raw: dict[str, Any]) -> list[Finding]:
    return problems(dry_run(root, raw))


def files(root: Path) -> dict[str, int]:
    return {
        str(path.relative_to(root)): path.stat().st_mtime_ns
        for path in root.rglob("*")
        if path.is_file() and path.name != "run.lock"
    }


def test_a_recipe_without_a_fault_goes_through_every_stage(root: Path):
    write(root / "raw/chain/talks.jsonl", LAYOUTS["messages"][1])
    write(root / "raw/chain/pairs.jsonl", LAYOUTS["preference"][1])
    write(root / "raw/chain/sums.jsonl", LAYOUTS["question_answer"][1])
    new(root, "chain", "assets/llm", ["raw/chain"], root)
    assert CliRunner().invoke(app, ["use", "chain"]).exit_code == 0
    before = files(root)
    done = CliRunner().invoke(app, ["run", "--dry-run", "--json"])
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert told["problems"] == 0
    said = {finding["what"]: finding["said"] for finding in told["findings"]}
    for stage in ("sft@sft", "dpo@dpo", "rl@grpo"):
        assert said[stage] == "updates, is interrupted, goes on from its checkpoint"
    assert {"corpus@chain", "preferences@chain_pairs", "reference@dpo", "evaluate@grpo"} <= said.keys()
    assert "based on shapes" in said["memory of rl@grpo"]
    assert "based on shapes" in said["disk"]
    assert "measured for 2 s" in said["time"]
    assert files(root) == before


def test_new_and_its_dry_run_in_one_command(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipelines.rewards.own.place.ROOT", root)
    monkeypatch.setattr("pipelines.rewards.own.process.ROOT", root)
    given = [
        "new",
        "same",
        "--model",
        "assets/llm",
        "--data",
        "raw/sums.jsonl",
        "--reward",
        "rewards.py:constant",
    ]
    done = CliRunner().invoke(app, [*given, "--dry-run", "--json"])
    assert done.exit_code == 1, done.stdout
    told = json.loads(done.stdout)
    assert told["recipe"] == "recipes/same.yaml"
    assert (root / told["recipe"]).exists()
    faults = {finding["what"]: finding["said"] for finding in told["findings"] if not finding["ok"]}
    assert "constant, 0.5" in faults["reward of rl@grpo"]


@pytest.mark.parametrize(
    ("function", "told"),
    [("raises", "no such column"), ("words", "not a number")],
)
def test_a_reward_that_is_broken_is_found(
    root: Path, sums: dict[str, Any], function: str, told: str, monkeypatch
):
    monkeypatch.setattr("pipelines.rewards.own.place.ROOT", root)
    monkeypatch.setattr("pipelines.rewards.own.process.ROOT", root)
    raw = with_values(sums, rl__common={"reward": f"rewards.py:{function}"})
    found = {finding.what: finding.said for finding in faults(root, raw)}
    assert told in found["reward of rl@grpo"]


def test_a_template_whose_turns_never_stop_is_found(root: Path, sums: dict[str, Any]):
    jinja = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + ' ' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    template = {"prompt": "{query}", "chat": True, "jinja": jinja}
    found = faults(root, with_values(sums, base__runs__base__template=template))
    assert found[0].what == "base@base"
    assert "end" in found[0].said


def test_prompts_longer_than_the_context_are_found(root: Path, sums: dict[str, Any]):
    rows = [{"question": f"{n} + {n} " + "and so on " * 90, "answer": str(2 * n)} for n in range(40)]
    write(root / "raw/sums_long.jsonl", rows)
    raw = with_values(sums, corpus__sums__max_prompt_tokens=4096, corpus__sums__near=None)
    raw["corpus"]["sums"]["decontaminate"] = {"ngram": None, "near": False}
    raw["corpus"]["sums"] |= {"raw": "raw/sums_long.jsonl"}
    raw["corpus"]["sums"]["sources"]["sums"]["splits"] = {"train": "sums_long.jsonl"}
    told = [finding.said for finding in faults(root, raw)]
    assert any("as long as the model's context of 256 tokens" in text for text in told)


def test_a_set_that_comes_out_empty_is_found(root: Path, sums: dict[str, Any]):
    found = {
        finding.what: finding.said
        for finding in faults(root, with_values(sums, corpus__sums__max_prompt_tokens=2))
    }
    assert "none of " in found["rl@grpo"]
    found = {
        finding.what: finding.said
        for finding in faults(root, with_values(sums, corpus__sums__heldout_share=0.0001))
    }
    assert any("heldout" in text for text in found.values())


def test_a_run_that_will_not_fit_is_found(root: Path, sums: dict[str, Any]):
    raw = with_values(
        sums,
        base__runs__base={
            "data": "sums",
            "architecture": {"hidden_size": 65536, "heads": 64, "intermediate_size": 262144, "layers": 96},
        },
    )
    found = {finding.what: finding for finding in faults(root, raw)}
    assert "memory of rl@grpo" in found
    assert "based on shapes" in found["memory of rl@grpo"].said


def test_groups_that_are_all_alike_are_found(root: Path, sums: dict[str, Any]):
    raw = with_values(sums, rl__common={"sampling": {"temperature": 1e-8}})
    found = {finding.what: finding.said for finding in faults(root, raw)}
    assert "all groups are unanimous" in found["signal of rl@grpo"]


def test_a_base_model_that_is_not_there_is_found(root: Path, sums: dict[str, Any]):
    found = faults(root, with_values(sums, base__runs__base={"pretrained": "owner/nothing"}))
    assert found[0].what == "model"
    assert "owner/nothing" in found[0].said


def test_a_gguf_file_is_tried_and_predicted(root: Path):
    pytest.importorskip("gguf")
    from tests.sources.made import gguf_file, model_folder

    gguf_file(root / "assets/tiny.gguf", model_folder(root / "assets/whole"))
    new(root, "gguf", "assets/tiny.gguf", ["raw/sums.jsonl"], root)
    found = {finding.what: finding for finding in dry_run(root, parse(recipes.show(root, "gguf")))}
    assert problems(list(found.values())) == []
    assert "based on shapes" in found["memory of rl@grpo"].said
