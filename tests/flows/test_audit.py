"""The audit finds and names one changed byte wherever it is, a missing ancestor and an edited record; a
replay gives the same bytes.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from flows.provenance import snapshot
from flows.provenance.audit import audit
from flows.provenance.content import Contents
from flows.provenance.history import History
from flows.provenance.replay import ReplayError, replay
from tests.flows import toy


def flip(path: Path, keep_times: bool = True) -> None:
    """Change the last byte of a file; size and time of change stay, as silent corruption leaves them."""
    stat, data = path.stat(), path.read_bytes()
    path.chmod(0o644)
    path.unlink()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    if keep_times:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def paths(project: toy.Project, subject: str = "models/grpo") -> list[str]:
    return [problem.path for problem in audit(project.folder, str(project.folder / subject))]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ("models/grpo/model/content.txt", "models/grpo/model/content.txt"),
        ("models/sft/model/content.txt", "models/sft/model/content.txt"),
        ("data/exam/records/content.txt", "data/exam/records/content.txt"),
        ("raw/toy/rows.txt", "raw/toy/rows.txt"),
        ("models/sft/lineage.json", "models/sft/lineage.json"),
        ("metrics/train/sft.json", "metrics/train/sft.json"),
    ],
)
def test_one_byte_of_a_checkpoint_an_ancestor_or_a_raw_file(
    graph: toy.Project, changed: str, named: str
) -> None:
    assert paths(graph) == []
    flip(graph.folder / changed)
    assert named in paths(graph)


def test_a_lineage_json_that_was_edited_is_found_out_and_the_edit_named(graph: toy.Project) -> None:
    path = graph.folder / "models/grpo/lineage.json"
    record = json.loads(path.read_text())
    record["params"]["rl.runs.grpo"]["objective"]["kind"] = "plain"
    record["files"]["content.txt"] = "0" * 32
    path.chmod(0o644)
    path.write_text(json.dumps(record))
    said = {
        problem.problem
        for problem in audit(graph.folder, str(graph.folder / "models/grpo"))
        if problem.path == "models/grpo/lineage.json"
    }
    assert any("rl.runs.grpo.objective.kind plain" in text and "clip" in text for text in said)
    assert any("does not give its own model_digest" in text for text in said)
    path.write_text("{")
    assert "models/grpo/lineage.json" in paths(graph)
    path.unlink()
    assert "models/grpo/lineage.json" in paths(graph)


def test_a_missing_file_is_covered_by_the_cache_and_a_corrupt_cache_object_is_not(graph: toy.Project) -> None:
    contents = Contents(graph.folder)
    shutil.rmtree(graph.folder / "models/sft/model")
    assert paths(graph) == []
    digest = History(contents.root, contents.cache).lock()["sft@sft"].outs["models/sft/model"]
    files = contents.files(digest)
    assert files is not None
    flip(contents.object(files["content.txt"]))
    assert paths(graph) == ["models/sft/model/content.txt"]
    contents.object(digest).unlink()
    found = audit(graph.folder, str(graph.folder / "models/grpo"))
    assert [problem.path for problem in found] == ["models/sft/model"]
    assert "dvc fetch" in found[0].problem


def test_an_ancestor_without_a_record(graph: toy.Project) -> None:
    lock = graph.folder / "dvc.lock"
    value = yaml.safe_load(lock.read_text())
    del value["stages"]["base@base"]
    lock.write_text(yaml.safe_dump(value))
    shutil.rmtree(graph.folder / ".dvc/cache/runs")
    found = audit(graph.folder, str(graph.folder / "models/sft"))
    assert [problem.path for problem in found] == ["models/base/model"]
    assert "ancestor is missing" in found[0].problem


def test_a_whole_model_folder_put_in_another_ones_place(graph: toy.Project) -> None:
    shutil.rmtree(graph.folder / "models/grpo/model")
    shutil.copytree(graph.folder / "models/other/model", graph.folder / "models/grpo/model")
    found = {
        problem.path: problem.problem for problem in audit(graph.folder, str(graph.folder / "models/grpo"))
    }
    assert "models/grpo/model/content.txt" in found
    assert "promises model" in found["models/grpo/lineage.json"]


def test_the_changed_raw_file_is_named_from_git_when_no_listing_was_kept(graph: toy.Project) -> None:
    (graph.folder / "raw/toy/second.txt").write_text("four\n")
    snapshot.take(graph.folder, "r1")
    graph.bring("sft@sft")
    shutil.rmtree(graph.folder / ".whetstone/manifests", ignore_errors=True)
    assert paths(graph, "models/sft") == []
    flip(graph.folder / "raw/toy/second.txt")
    assert paths(graph, "models/sft") == ["raw/toy/second.txt"]


def test_a_replay_gives_the_same_bytes(graph: toy.Project, tmp_path: Path) -> None:
    before = graph.git("status", "--porcelain")
    assert replay(graph.folder, "sft@sft", tmp_path / "scratch") == []
    assert (tmp_path / "scratch/tree/models/sft/model/content.txt").exists()
    assert graph.git("status", "--porcelain") == before


def test_a_replay_takes_the_recorded_code_and_inputs_not_the_present_ones(
    graph: toy.Project, tmp_path: Path
) -> None:
    kept = snapshot.take(graph.folder, "r1").snapshot
    graph.edit("pipelines/toy/supervised.py", "x * 0.5", "x * 0.25")
    shutil.rmtree(graph.folder / "models/base/model")
    said: list[str] = []
    assert replay(graph.folder, "sft@sft", tmp_path / "scratch", say=said.append) == []
    assert said[0] == f"source state: commit {kept}"


def test_a_replay_names_what_comes_out_otherwise(graph: toy.Project, tmp_path: Path) -> None:
    """A stage whose result depends on something that no record holds."""
    graph.edit("tasks/sft.py", '"loss": nll(2.0)', '"loss": nll(2.0), "cwd": os.getcwd()')
    graph.bring("sft@sft")
    found = {
        difference.path: difference.what
        for difference in replay(graph.folder, "sft@sft", tmp_path / "scratch")
    }
    assert found["models/sft/model/content.txt"] == "changed"
    assert found["models/sft/lineage.json:model_digest"] == "changed"
    assert not any("git" in path or "run" in path.rpartition(":")[2] for path in found)


def test_a_replay_that_cannot_be_made_says_why(graph: toy.Project, tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="no run of nothing"):
        replay(graph.folder, "nothing", tmp_path / "a")
    graph.edit("tasks/sft.py", "facts = {", "raise SystemExit(3)\n    facts = {")
    with pytest.raises(ReplayError, match=r"tasks\.sft.*refs/pipeline"):
        replay(graph.folder, "sft@sft", tmp_path / "b")
    graph.edit("tasks/sft.py", "raise SystemExit(3)\n    facts = {", "facts = {")
    shutil.rmtree(graph.folder / "models/base/model")
    shutil.rmtree(graph.folder / ".dvc/cache/files")
    with pytest.raises(ReplayError, match="models/base/model"):
        replay(graph.folder, "sft@sft", tmp_path / "c")
