"""Models and tokenizers from outside, as a user has them: `whetstone …` and `dvc …` in a clone of the whole
repository.

The suite replaces weights and a tokenizer; `WHETSTONE_SOURCES=1 pytest tests/sources/test_command_line.py`
tries the rest too (ten minutes).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from tests import clone
from tests.flows import toy
from tests.flows.toy import ROOT, Project
from tests.sources.hub import Hub
from tests.sources.made import gguf_file, model_folder

OUTSIDE = {
    "base.common.architecture": None,
    "base.runs.rlvr_base": None,  # everything that starts from the other base model goes
    "sft.runs.rlvr_start": None,
    "judgements": {},
    "verifier.runs": {},
    **{
        f"{kind}.runs.rlvr_{name}": None for kind in ("rl", "evaluate") for name in ("rule", "binary", "soft")
    },
    "evaluate.runs.rlvr_start": None,
    "base.runs.base.template.prompt": "Q: {query}\nA: ",
    "corpus.exam.max_prompt_tokens": 200,
    "corpus.exam.max_response_tokens": 200,
}
WEIGHTS = "model.safetensors"
everything = pytest.mark.skipif(
    "WHETSTONE_SOURCES" not in os.environ, reason="WHETSTONE_SOURCES=1 tries all that comes from outside"
)


def settings(model: object, tokenizer: object) -> dict:
    named = {
        "base.common.pretrained": model,
        "base.runs.base.tokenizer": {"kind": "pretrained", "id": tokenizer},
        "base.runs.base.data": "none",
    }
    whole = {
        key: value
        for key, value in (clone.TINY | OUTSIDE | named).items()
        if not key.startswith("base.common.architecture.")
    }
    return whole


def make(folder: Path, model: object, tokenizer: object, python: str) -> Project:
    """A clone that takes its model and its tokenizer from outside. `base` is as far as these tests go."""
    project = clone.make(folder, python=python)
    for key, value in settings(model, tokenizer).items():
        project.set(key, value)
    (project.folder / ".whetstone").mkdir(exist_ok=True)
    shutil.copy(ROOT / "tests/flows/bring.py", project.folder / ".whetstone/bring.py")
    return project


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of one tokenizer, `a` and `b`, and the tokenizer of other words, `c`."""
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate("ab"):
        model_folder(folder / name, seed)
    model_folder(folder / "c", words="four five 4 5 6 four five")
    return folder


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory, others: Path, learning_python: str) -> Path:
    """Run once, with `whetstone run`; every test gets a copy."""
    home = tmp_path_factory.mktemp("clone")
    project = make(home / "project", "assets/llm", "assets/llm", learning_python)
    shutil.copytree(others / "a", project.folder / "assets/llm")
    ended = {name: stage["ended"] for name, stage in project.run("base@base")["stages"].items()}
    assert set(ended.values()) == {"run"}
    assert sorted(name.partition("@")[0] for name in ended) == ["base", "source", "source"]
    return project.folder


@pytest.fixture
def project(taken: Path, tmp_path: Path, learning_python: str) -> Project:
    shutil.copytree(taken, tmp_path / "project", symlinks=True)
    found = toy.Project(tmp_path / "project", learning_python)
    found.env.pop("PYTHONPATH", None)
    (found.folder / ".whetstone/mlflow.db").unlink()  # `bring` registers nothing, and the audit would miss it
    return found


def sources(project: Project) -> dict[str, str]:
    """{kind: stage}."""
    lock = json.loads((project.folder / "source.lock.json").read_text())
    return {entry["kind"]: f"source@{name}" for name, entry in lock["taken"].items()}


def replace(project: Project, file: str, by: Path) -> None:
    shutil.copyfile(by / file, project.folder / "assets/llm" / file)


def audit(project: Project) -> str:
    """What it refuses; empty where everything verifies."""
    done = project.call("audit", "models/base")
    assert done.returncode in (0, 1), done.stderr
    return done.stdout if done.returncode else ""


@pytest.mark.slow
def test_replaced_weights(project: Project, others: Path):
    named = sources(project)
    assert project.plan("base") == {}
    assert audit(project) == ""
    lineage = json.loads(project.call("lineage", "models/base", "--json").stdout)
    assert {f"assets/llm/{WEIGHTS}", "assets/llm/tokenizer.json"} <= {row["path"] for row in lineage["raw"]}
    assert {row["status"] for row in lineage["raw"]} == {"verified"}

    replace(project, WEIGHTS, others / "b")
    plan = project.plan("base")
    assert (plan[named["model"]], plan["base@base"]) == ("run", "run?")
    assert project.reasons(named["model"], "base") == [f"assets/llm changed ({WEIGHTS})"]
    assert f"assets/llm/{WEIGHTS}" in audit(project)
    lineage = json.loads(project.call("lineage", "models/base", "--json").stdout)
    assert {row["path"] for row in lineage["raw"] if row["status"] != "verified"} == {f"assets/llm/{WEIGHTS}"}

    replace(project, WEIGHTS, others / "a")
    assert project.plan("base") == {}
    assert audit(project) == ""


@everything
def test_new_weights_are_taken_and_old_ones_come_back(project: Project, others: Path):
    named = sources(project)
    assert project.call("audit", "models/base", "--replay").returncode == 0
    replace(project, WEIGHTS, others / "b")
    before = (project.folder / "models/base/model" / WEIGHTS).read_bytes()
    assert set(project.bring("base").items()) >= {("base@base", "run"), (named["model"], "run")}
    assert (project.folder / "models/base/model" / WEIGHTS).read_bytes() != before
    assert audit(project) == ""
    replace(project, WEIGHTS, others / "a")
    # from the run cache, and the corpus is not among them
    assert set(project.plan("base").values()) == {"restore"}
    assert "corpus@exam" not in project.plan("base")
    project.bring("base")
    assert (project.folder / "models/base/model" / WEIGHTS).read_bytes() == before


@pytest.mark.slow
def test_a_replaced_tokenizer(project: Project, others: Path):
    named = sources(project)
    replace(project, "tokenizer.json", others / "c")
    plan = project.plan("base")
    assert (plan[named["tokenizer"]], plan["base@base"]) == ("run", "run?")
    assert "corpus@exam" not in plan
    assert project.reasons(named["tokenizer"], "base") == ["assets/llm changed (tokenizer.json)"]
    assert "assets/llm/tokenizer.json" in audit(project)
    replace(project, "tokenizer.json", others / "a")
    assert (project.plan("base"), audit(project)) == ({}, "")


@everything
def test_dvc_agrees(project: Project, others: Path):
    everything = ("source", "code", "base@base")
    assert "up to date" in project.dvc("status", *everything).stdout
    replace(project, WEIGHTS, others / "b")
    assert "assets/llm" in project.dvc("status", *everything).stdout
    done = project.dvc("repro", "base")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Running stage 'base'" in done.stdout
    assert "Running stage 'corpus@exam'" not in done.stdout
    assert project.plan("base") == {}
    assert "up to date" in project.dvc("status", *everything).stdout


@everything
def test_damage_is_said_in_a_sentence(project: Project, others: Path):
    folder = project.folder / "assets/llm"
    for name, damage, said in (
        (WEIGHTS, lambda path: path.write_bytes(path.read_bytes()[:-7]), "the weights cannot be read"),
        (
            "tokenizer.json",
            lambda path: path.write_bytes(path.read_bytes()[:-7]),
            "assets/llm/tokenizer.json is cut short or damaged",
        ),
        ("config.json", lambda path: path.unlink(), "assets/llm holds no config.json"),
    ):
        damage(folder / name)
        done = project.python_call(".whetstone/bring.py", "base")
        assert done.returncode == 1
        why = " ".join(stage.get("error", "") for stage in json.loads(done.stdout)["stages"].values())
        assert said in why, why
        replace(project, name, others / "a")
    assert project.plan("base") == {} or set(project.plan("base").values()) <= {"restore", "checkout"}


@everything
def test_what_bare_dvc_had_not_seen(project: Project, others: Path):
    """DVC reads source.lock.json before any command of ours: the first `dvc repro` ends with a word, the
    second does it.
    """
    shutil.copytree(others / "b", project.folder / "assets/other")
    project.set("base.common.pretrained", "assets/other")
    first = project.dvc("repro", "base")
    assert first.returncode != 0
    assert "source.lock.json has been updated: run the same command again" in first.stdout + first.stderr
    second = project.dvc("repro", "base")
    assert second.returncode == 0, second.stdout + second.stderr
    assert project.plan("base") == {}
    assert audit(project) == ""


@everything
def test_what_a_stage_makes_is_not_from_outside(project: Project):
    project.set("base.common.pretrained", "models/sft/model")
    done = project.call("plan")
    assert done.returncode == 2
    assert "models/sft/model is made by the stage sft" in done.stdout + done.stderr


@everything
def test_a_gguf_file(project: Project, others: Path):
    pytest.importorskip("gguf")
    gguf_file(project.folder / "assets/tiny.gguf", others / "a")
    project.set("base.common.pretrained", "assets/tiny.gguf")
    project.set("base.runs.base.tokenizer.id", "assets/tiny.gguf")
    before = (project.folder / "models/base/model" / WEIGHTS).read_bytes()
    project.bring("base")
    assert (project.folder / "models/base/model" / WEIGHTS).read_bytes() == before
    lineage = json.loads(project.call("lineage", "models/base", "--json").stdout)
    assert "assets/tiny.gguf" in {row["path"] for row in lineage["raw"]}
    with open(project.folder / "assets/tiny.gguf", "r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\x3c")
    assert project.plan("base")["base@base"] == "run?"
    assert "assets/tiny.gguf" in audit(project)


# -- a hub ---------------------------------------------------------------------------------------------------


@everything
def test_an_id_without_a_commit(tmp_path: Path, others: Path):
    with Hub() as hub:
        first = hub.commit("some/llm", others / "a")
        project = make(tmp_path / "project", "some/llm", "some/llm", sys.executable)
        project.set("execution.offline", False)
        project.env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")}
        project.bring("base")
        lock = json.loads((project.folder / "source.lock.json").read_text())
        assert {pin["commit"] for pin in lock["pins"].values()} == {first}
        assert (project.plan("base"), audit(project)) == ({}, "")
        raw = {
            row["path"]: row
            for row in json.loads(project.call("lineage", "models/base", "--json").stdout)["raw"]
        }
        weights = raw[f"some/llm@{first[:12]}/{WEIGHTS}"]
        assert weights["status"] == "verified"
        assert len(weights["digest"].removeprefix("sha256:")) == 64
        model = (project.folder / "models/base/model" / WEIGHTS).read_bytes()

        second = hub.commit("some/llm", others / "b")  # the branch moves
        assert project.plan("base") == {}
        done = project.python_call(".whetstone/bring.py", "--force", "base")
        assert done.returncode == 0, done.stdout + done.stderr
        assert (project.folder / "models/base/model" / WEIGHTS).read_bytes() == model
        logs = "".join(path.read_text() for path in (project.folder / ".whetstone/logs").rglob("base.log"))
        assert f"main has moved to {second}; this project stays with {first}" in logs

    project.set("execution.offline", True)  # nobody answers any more, and nobody needs to
    project.set("base.common.resize_embeddings", True)
    assert project.bring("base") == {"base@base": "run"}

    # a clone of a colleague's, who has the old snapshot and not our cache, gets the commit that was pinned
    shutil.rmtree(project.folder / "sources")
    (project.folder / "sources").mkdir()
    shutil.copy(ROOT / "sources/none", project.folder / "sources/none")
    shutil.rmtree(project.folder / ".dvc/cache")
    (tmp_path / "hf/hub/models--some--llm/refs/main").write_text(second)
    project.bring("base")
    manifests = [json.loads(path.read_text()) for path in (project.folder / "sources").glob("*.json")]
    assert {one["source"]["commit"] for one in manifests} == {first}

    # another content under the same id and commit
    blob = (tmp_path / f"hf/hub/models--some--llm/snapshots/{first}/{WEIGHTS}").resolve()
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-4] + b"\0\0\0\1")
    assert f"some/llm@{first[:12]}/{WEIGHTS}" in audit(project)
    project.set("base.common.resize_embeddings", False)
    project.set("identity.seed", 5)
    done = project.python_call(".whetstone/bring.py", "base")
    assert done.returncode == 1
    assert WEIGHTS in done.stdout
    assert "damaged" in done.stdout


@everything
def test_an_unknown_id_offline(tmp_path: Path):
    project = make(tmp_path / "project", "nobody/nothing", "nobody/nothing", sys.executable)
    plan = project.plan("base")
    assert "run" in plan.values()
    shown = project.call("plan", "base", HF_HOME=str(tmp_path / "hf"))
    assert "is no folder here" in " ".join(shown.stdout.split())
    done = project.python_call(".whetstone/bring.py", "base", HF_HOME=str(tmp_path / "hf"))
    assert done.returncode == 1
    assert "nobody/nothing (revision main) is no folder here" in done.stdout
    assert "execution.offline" in done.stdout
    assert (
        yaml.safe_load((project.folder / "params.yaml").read_text())["base"]["common"]["pretrained"]
        == "nobody/nothing"
    )
