"""Registered models as subjects: found by name, version and alias, and held against the files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.provenance.audit import audit
from flows.provenance.lineage import UnknownSubject, lineage
from pipelines.models import policy
from pipelines.rewards.models.options import AskingParams
from pipelines.rewards.models.verifier import save_facts
from tasks.tracking import Tracking
from tests.flows import toy
from tests.tiny import make_tiny_model, make_tiny_tokens


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables made: MLflow takes seconds for that."""
    root = tmp_path_factory.mktemp("store")
    assert Tracking(root).start_flow() is not None
    return root / ".whetstone" / "mlflow.db"


@pytest.fixture
def tracking(graph: toy.Project, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Tracking:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_store, graph.folder / ".whetstone" / "mlflow.db")
    return Tracking(graph.folder)


def paths(project: toy.Project) -> list[str]:
    return [problem.path for problem in audit(project.folder, str(project.folder / "models/sft"))]


def test_registered_models_by_name_version_and_alias(graph: toy.Project, tracking: Tracking) -> None:
    record = json.loads((graph.folder / "models/sft/lineage.json").read_text())
    tracking.register("sft", "models/sft/model", "0" * 32 + ".dir")
    tracking.register("sft", "models/sft/model", record["model_digest"])
    for subject in ("sft", "sft:2", "sft@current", "sft@latest"):
        found = lineage(graph.folder, subject)
        assert found["subject"] == {
            "path": "models/sft/model", "digest": record["model_digest"], "kind": "model version", "name": "sft", "version": "2",
        }  # fmt: skip
        assert found["problems"] == []
        assert {node["stage"] for node in found["nodes"]} == {"corpus@exam", "base@base", "sft@sft"}
    assert "unknown content" in lineage(graph.folder, "sft:1")["problems"][0]["problem"]
    for subject in ("sft:9", "sft@nobody", "nomodel"):
        with pytest.raises(UnknownSubject, match=subject):
            lineage(graph.folder, subject)


def test_a_registered_verifier_judges(graph: toy.Project, tracking: Tracking) -> None:
    model, tokens = graph.folder / "models/sft/model", make_tiny_tokens(graph.folder / "tokens")
    policy.save(make_tiny_model(tokens), tokens, model)
    asking = AskingParams(
        template="{question}#{candidate}#{key}",
        marks=("++", "++"),
        positive=("1",),
        negative=("0",),
        max_tokens=60,
    )
    save_facts(model, asking, 1.0)
    tracking.register("sft", "models/sft/model", "0" * 32 + ".dir")
    (graph.folder / "rows.jsonl").write_text(
        json.dumps({"question": "1+1", "response": "#### 2", "reference": "2"})
    )
    registered = graph.call("judge", "sft:1", "rows.jsonl", "-S", "max_leak=1", "--json")
    assert json.loads(registered.stdout)["outcome"] in ("right", "wrong"), registered.stderr
    by_run = graph.call("judge", "verifier", "rows.jsonl", "-S", "model=sft", "-S", "max_leak=1", "--json")
    assert by_run.stdout == registered.stdout
    unknown = graph.call("judge", "sft:99", "rows.jsonl")
    assert unknown.returncode == 2
    assert "no such version or alias; known: sft:1" in unknown.stderr


def test_the_registry_and_the_files_disagree(graph: toy.Project, tracking: Tracking) -> None:
    record: dict[str, Any] = json.loads((graph.folder / "models/sft/lineage.json").read_text())
    digest, run = record["model_digest"], record["run"]["flow_run"]
    tracking.register(
        "sft@sft", "models/sft/model", digest, tags={"whetstone.run": run, "stage.key": record["key"]}
    )
    assert paths(graph) == []
    assert audit(graph.folder, "sft") == []

    tracking.register(
        "sft@sft",
        "models/sft/model",
        "0" * 32 + ".dir",
        tags={"whetstone.run": run, "stage.key": record["key"]},
    )
    assert paths(graph) == ["sft:2"]
    assert any("unknown content" in problem.problem for problem in audit(graph.folder, "sft:2"))
    path = graph.folder / "models/sft/model/content.txt"
    text = path.read_bytes()
    path.unlink()  # the cache may share its bytes
    path.write_bytes(text + b"!")
    assert "models/sft/model/content.txt" in [problem.path for problem in audit(graph.folder, "sft:1")]
    found = audit(graph.folder, str(graph.folder / "models/sft"))
    assert any("the registry knows no version of sft" in problem.problem for problem in found)
