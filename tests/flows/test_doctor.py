"""`doctor` looks at the run that params.yaml describes: its device, models, judges, memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from flows import configured_run, raw_data
from flows.configured_run import Finding
from flows.graph import recipes
from flows.graph.params_file import PARAMS, load_with_comments, save_with_comments
from tests.flows.toy import ROOT, Project
from tests.tiny import make_tiny_model, make_tiny_tokens


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project as far as `configured_run` sees one; the hub's cache is empty."""
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    for name in (PARAMS, "presets.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def examine(root: Path) -> dict[str, Finding]:
    return {finding.what: finding for finding in configured_run.examine(root)}


def edit(root: Path, change: Callable[[dict], object]) -> None:
    document = load_with_comments(root / PARAMS)
    change(document)
    save_with_comments(root / PARAMS, document)


def test_the_default_needs_nothing_that_is_not_here(root: Path) -> None:
    found = examine(root)
    assert [finding for finding in found.values() if not finding.ok] == []
    assert "sft@rlvr_start of the model rlvr_base takes 0." in found["memory"].said


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_recipe_that_wants_a_gpu_and_a_model_that_are_not_here(root: Path) -> None:
    recipes.use(root, "gsm8k_rho1b")
    found = examine(root)
    assert not found["device"].ok
    assert found["device"].needed
    assert "0 GPUs here" in found["device"].said
    model = found["model microsoft/rho-math-1b-v0.1@main"]
    assert not model.ok
    assert model.needed
    assert "hf download microsoft/rho-math-1b-v0.1" in model.mend


def test_a_model_in_a_folder_is_at_hand_and_its_memory_predicted(root: Path) -> None:
    from pipelines.models import policy

    tokens = make_tiny_tokens(root / "tokenizer")
    policy.save(make_tiny_model(tokens), tokens, root / "local")
    edit(root, lambda p: p["base"]["common"].update(architecture=None, pretrained="local"))
    found = examine(root)
    assert found["model local"].ok
    assert found["memory"].ok
    assert "not predicted" not in found["memory"].said
    edit(root, lambda p: p["base"]["common"].update(pretrained="./nowhere/else"))
    assert not examine(root)["model ./nowhere/else"].ok


def test_memory_is_predicted_as_the_stages_do(root: Path) -> None:
    edit(
        root,
        lambda p: p["base"]["common"]["architecture"].update(
            hidden_size=8192, layers=80, heads=64, kv_heads=8, intermediate_size=28672
        ),
    )
    found = examine(root)["memory"]
    assert not found.ok
    assert found.needed
    assert "the run would need" in found.mend


def test_a_judge_behind_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOBODYS_KEY", raising=False)
    judge = {"kind": "endpoint", "model": "m", "url": "http://127.0.0.1:9/v1", "key_variable": "NOBODYS_KEY"}
    findings = list(configured_run._endpoints({"rl": {"common": {"reward": judge}}}))
    assert [finding.ok for finding in findings] == [False, False]
    assert "NOBODYS_KEY is not set" in findings[0].said
    assert "http://127.0.0.1:9/v1" in findings[1].said


def test_doctor_is_red_for_what_the_run_cannot_do_without(graph: Project) -> None:
    graph.set("execution.gpus", 99)
    done = graph.call("doctor", "--json")
    assert done.returncode == 1, done.stdout
    found = {row["what"]: row for row in json.loads(done.stdout)}
    assert not found["device"]["ok"]
    assert "execution.gpus 99" in found["device"]["said"]


def test_every_file_of_ones_own_that_a_setting_names_is_looked_for(root: Path) -> None:
    recipes.use(root, "own_chats")
    assert {(finding.what, finding.ok, finding.said) for finding in raw_data.examine(root)} == {
        ("raw data of talks", False, "raw/talks"),
        ("raw data of pairs", False, "raw/talks"),
    }
