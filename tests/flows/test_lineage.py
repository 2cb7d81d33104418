"""Ancestry by content: from checkpoints, copies, old versions and registered models down to raw files."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.provenance import snapshot
from flows.provenance.history import BrokenRecord
from flows.provenance.lineage import UnknownSubject, lineage, render_tree
from flows.provenance.lineage_page import render
from tasks.content import file_digest
from tests.flows import toy


def stages(found: dict[str, Any]) -> dict[str, str]:
    return {node["stage"]: node["status"] for node in found["nodes"]}


def edit_model(folder: Path) -> None:
    """One byte of the model's file, by a new file as a careful writer does it."""
    path = folder / "content.txt"
    text = path.read_bytes()
    path.unlink()
    path.write_bytes(text[:-1] + b"!")


def test_a_checkpoint_tells_its_whole_ancestry(graph: toy.Project) -> None:
    found = lineage(graph.folder, str(graph.folder / "models/grpo"))
    assert found["problems"] == []
    assert stages(found) == dict.fromkeys(["corpus@exam", "base@base", "sft@sft", "rl@grpo"], "verified")
    assert ["sft@sft", "rl@grpo", "models/sft/model"] in found["edges"]
    assert ["corpus@exam", "base@base", "data/exam/records"] in found["edges"]
    raw = {
        "path": "raw/toy/rows.txt",
        "digest": file_digest(graph.folder / "raw/toy/rows.txt"),
        "status": "verified",
    }
    assert [{key: row[key] for key in raw} for row in found["raw"]] == [raw]
    last = found["nodes"][-1]
    record = json.loads((graph.folder / "models/grpo/lineage.json").read_text())
    assert last["stage"] == "rl@grpo"
    assert last["key"] == record["key"]
    assert last["params"]["rl.runs.grpo"]["objective"]["kind"] == "clip"
    assert last["code"] == record["code"]
    assert "pipelines.objectives.clip" in last["code"]
    assert "pipelines.objectives.plain" not in last["code"]
    assert set(last["git"]) >= {"commit", "dirty"}
    assert last["run"]["wall_s"] >= 0
    assert last["environment"]["packages"]["dvc"].startswith("3.")
    assert last["metrics"]
    assert found["subject"]["digest"] == record["model_digest"]


def test_it_is_shown_in_the_terminal_and_on_the_page(graph: toy.Project) -> None:
    from rich.console import Console

    edit_model(graph.folder / "models/sft/model")
    found = lineage(graph.folder, str(graph.folder / "models/grpo"))
    console = Console(width=200, record=True, soft_wrap=True, file=io.StringIO())
    console.print(render_tree(found))
    shown = console.export_text()
    for said in (
        "rl@grpo verified",
        "sft modified",
        "raw/toy/rows.txt",
        "rl.runs.grpo.objective.kind=clip",
        "pipelines.objectives.clip",
        "models/sft/model/content.txt",
        "shown above",
    ):
        assert said in shown
    assert "models/sft/model/content.txt" in render(found)


def test_no_heavy_import_is_needed(graph: toy.Project) -> None:
    code = (
        "import sys; from flows.provenance.lineage import lineage; lineage('.', 'models/sft');"
        "print([m for m in ('torch', 'mlflow', 'dvc', 'prefect', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=graph.folder,
        env=graph.env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("flat", [False, True])
def test_a_copied_out_checkpoint_is_known_by_its_bytes(
    graph: toy.Project, tmp_path: Path, flat: bool
) -> None:
    copy = tmp_path / "gift"
    if flat:
        shutil.copytree(graph.folder / "models/sft/model", copy)
        shutil.copy(graph.folder / "models/sft/lineage.json", copy)
        model = copy
    else:
        shutil.copytree(graph.folder / "models/sft", copy)
        model = copy / "model"
    shutil.rmtree(graph.folder / "models/sft")
    found = lineage(graph.folder, str(copy))
    assert found["problems"] == []
    assert set(stages(found)) == {"corpus@exam", "base@base", "sft@sft"}
    edit_model(model)
    (model / "extra").write_text("")
    found = lineage(graph.folder, str(copy))
    named = {Path(row["path"]).name: row["problem"].split(";")[0] for row in found["problems"]}
    assert named == {"content.txt": "changed", "extra": "new"}
    assert stages(found)["sft@sft"] == "modified"


def test_an_old_version_is_found_in_snapshots_and_in_the_run_cache(
    graph: toy.Project, tmp_path: Path
) -> None:
    shutil.copytree(graph.folder / "models/sft", tmp_path / "old")
    snapshot.take(graph.folder, "before")
    graph.set("sft.common.steps", 7)
    graph.bring("sft@sft")
    old = lineage(graph.folder, str(tmp_path / "old"))
    new = lineage(graph.folder, str(graph.folder / "models/sft"))
    assert old["problems"] == new["problems"] == []
    assert (
        new["nodes"][-1]["params"]["sft.runs.sft"]["steps"]
        == 7
        != old["nodes"][-1]["params"]["sft.runs.sft"]["steps"]
    )
    assert old["nodes"][-1]["recorded_in"] == graph.git("rev-parse", "refs/pipeline/before").strip()
    graph.git("update-ref", "-d", "refs/pipeline/before")
    from_cache = lineage(graph.folder, str(tmp_path / "old"))
    assert from_cache["nodes"][-1]["recorded_in"] == "run cache"
    assert from_cache["nodes"][-1]["stage"] == "sft@sft"
    assert from_cache["problems"] == []
    assert len(from_cache["nodes"]) == 3


def test_a_checkpoint_without_any_record_tells_what_its_lineage_json_holds(
    graph: toy.Project, tmp_path: Path
) -> None:
    shutil.copytree(graph.folder / "models/sft", tmp_path / "gift")
    shutil.rmtree(graph.folder / ".dvc/cache")
    (graph.folder / "dvc.lock").unlink()
    found = lineage(graph.folder, str(tmp_path / "gift"))
    assert found["nodes"][-1]["stage"] == "sft@sft"
    assert found["nodes"][-1]["params"]["sft.runs.sft"]
    assert any("no record of its run" in row["problem"] for row in found["problems"])
    assert any(
        row["path"] == "models/base/model" and "ancestor is missing" in row["problem"]
        for row in found["problems"]
    )


def test_what_is_no_subject_and_what_cannot_be_read(graph: toy.Project) -> None:
    with pytest.raises(UnknownSubject, match="models/nothing/here"):
        lineage(graph.folder, "models/nothing/here")
    stray = graph.folder / "stray"
    stray.mkdir()
    (stray / "w").write_text("?")
    assert "unknown content" in lineage(graph.folder, str(stray))["problems"][0]["problem"]
    lock = graph.folder / "dvc.lock"
    lock.write_text(lock.read_text()[:200] + "\n  : : [")
    with pytest.raises(BrokenRecord, match=r"dvc\.lock"):
        lineage(graph.folder, "models/sft")
