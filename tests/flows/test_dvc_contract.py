"""The private calls of DVC that flows/graph/dvc_*.py make exist and behave as they expect; a new DVC fails
here first, with a name.
"""

from __future__ import annotations

import inspect
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from flows.graph import dvc_api, dvc_content, dvc_graph, dvc_record, dvc_run_cache
from flows.graph.params_file import read_yaml
from tests.flows.toy import ROOT, Project


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_the_version_is_the_pinned_one():
    assert version("dvc").startswith("3.67.")
    assert '"dvc==3.67.*"' in (ROOT / "pyproject.toml").read_text()


def test_signatures():
    from dvc.dependency import ParamsDependency
    from dvc.output import Output
    from dvc.repo import Repo, lock_repo
    from dvc.rwlock import _edit_rwlock, rwlock
    from dvc.stage import PipelineStage, Stage
    from dvc.stage.cache import RunCacheNotFoundError, StageCache, _get_cache_hash
    from dvc.stage.serialize import to_single_stage_lockfile
    from dvc_data.hashfile.tree import Tree

    assert "_wait_for_lock" in parameters(Repo.__init__)
    assert parameters(lock_repo.__wrapped__)[0] == "repo"  # type: ignore[attr-defined]
    assert parameters(rwlock.__wrapped__) == ["tmp_dir", "fs", "cmd", "read", "write", "hardlink"]  # type: ignore[attr-defined]
    assert parameters(_edit_rwlock.__wrapped__) == ["lock_dir", "fs", "hardlink"]  # type: ignore[attr-defined]
    assert parameters(_get_cache_hash) == ["cache", "key"]
    assert parameters(to_single_stage_lockfile)[0] == "stage"
    assert parameters(StageCache.restore)[:2] == ["self", "stage"]
    assert parameters(StageCache._load_cache) == ["self", "key", "value"]
    assert parameters(StageCache._get_cache_dir) == ["self", "key"]
    assert parameters(StageCache._create_stage) == ["self", "cache", "wdir"]
    assert parameters(StageCache.save) == ["self", "stage"]
    assert parameters(Stage.remove_outs) == ["self", "ignore_remove", "force"]
    assert "update_pipeline" in inspect.getsource(Stage.dump) or "kwargs" in parameters(Stage.dump)
    assert parameters(Tree.load)[:2] == ["odb", "hash_info"]
    assert parameters(Tree.add) == ["self", "key", "meta", "oid"]
    assert ParamsDependency.PARAM_PARAMS == "params"
    made = inspect.getsource(Stage.__init__) + inspect.getsource(PipelineStage.__init__)
    assert issubclass(RunCacheNotFoundError, dvc_api.dvc_error())
    assert issubclass(dvc_api.lock_error(), dvc_api.dvc_error())
    for name in ("changed_cache", "workspace_status", "get_hash", "_build", "exists"):
        assert hasattr(Output, name), name
    for name in (
        "cmd_changed",
        "always_changed",
        "is_callback",
        "frozen",
        "meta",
        "compute_md5",
        "save_deps",
        "save_outs",
        "commit",
        "addressing",
    ):
        assert hasattr(PipelineStage, name) or name in made, name


@pytest.fixture
def folder(graph: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(graph.folder)
    for name in ("DVC_SITE_CACHE_DIR", "HOME"):
        monkeypatch.setenv(name, graph.env[name])
    return graph.folder


def test_order_is_upstream_first_and_stable(folder: Path):
    with dvc_api.locked_repo(folder) as repo:
        graph = dvc_graph.graph(repo)
        names = [stage.addressing for stage in dvc_graph.stages_in_order(repo, graph)]
        needs = dvc_graph.upstream_names(graph)
        assert names == [stage.addressing for stage in dvc_graph.stages_in_order(repo, graph)]
    assert (
        names.index("corpus@exam")
        < names.index("base@base")
        < names.index("sft@sft")
        < names.index("rl@other")
        < names.index("report")
    )
    assert needs["sft@sft"] == ["base@base", "corpus@exam"]
    assert needs["base@base"] == ["corpus@exam"]


def test_the_graph_is_what_dvc_itself_makes_of_it(folder: Path):
    with dvc_api.locked_repo(folder) as repo:
        theirs = repo.index.graph
        assert dvc_graph.graph(repo) == {stage: set(theirs.successors(stage)) for stage in theirs.nodes}


@pytest.mark.parametrize(
    ("output", "dependency", "said"),
    [
        ("models/first/model", "other.txt", "overlap"),
        ("first.txt", "second.txt", "both a dependency and an output"),
    ],
    ids=["overlap", "cycle"],
)
def test_what_dvc_refuses_is_refused_in_its_words(graph: Project, output: str, dependency: str, said: str):
    declared = yaml.safe_load((graph.folder / "dvc.yaml").read_text())
    declared["stages"]["first"] = {"cmd": "true", "deps": [dependency], "outs": [output]}
    declared["stages"]["second"] = {
        "cmd": "true",
        "deps": ["first.txt"],
        "outs": ["second.txt" if "txt" in output else "models/first"],
    }
    (graph.folder / "dvc.yaml").write_text(yaml.safe_dump(declared))
    done = graph.call("plan")
    assert done.returncode == 1
    assert done.stderr.startswith("DVC: ")
    assert said in done.stderr


def test_lock_entries_are_what_the_file_says(folder: Path):
    with dvc_api.locked_repo(folder) as repo:
        assert dvc_api.lock_entries(repo) == read_yaml(folder / "dvc.lock")["stages"]


def test_a_fresh_stage_is_found_in_the_run_cache_by_its_pretended_inputs(folder: Path):
    with dvc_api.locked_repo(folder) as repo:
        stage = repo.stage.load_one(name="sft@sft")
        before = {out.def_path: out.hash_info.value for out in stage.outs}
        found = dvc_run_cache.run_cache_entry(repo, stage)
        assert found is not None
        assert {out.def_path: out.hash_info.value for out in found.outs} == before
        base = next(dep for dep in stage.deps if dep.def_path == "models/base/model")
        other = next(dep for dep in stage.deps if dep.def_path == "data/exam/records")
        dvc_content.set_hash(base, other.hash_info)
        assert dvc_run_cache.run_cache_entry(repo, stage) is None


def test_recording_keeps_the_pinned_inputs_not_those_of_the_moment(folder: Path):
    with dvc_api.locked_repo(folder) as repo:
        stage = repo.stage.load_one(name="sft@sft")
        pinned = dvc_record.pin(stage)
        path = folder / "data/exam/records/content.txt"
        path.unlink()
        path.write_text("other rows")
        stage = repo.stage.load_one(name="sft@sft")
        assert dvc_record.changed_inputs(stage, pinned) == ["data/exam/records"]
        outs = dvc_record.record(repo, stage, pinned, stage.cmd)
    entry = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]["sft@sft"]
    assert {dep["path"]: dep["md5"] for dep in entry["deps"]} == {
        name: content.value
        for name, (content, _) in pinned.items()
        if name in ("models/base/model", "data/exam/records")
    }
    assert outs["models/sft/model"] == next(
        out["md5"] for out in entry["outs"] if out["path"] == "models/sft/model"
    )


def test_a_folder_with_outputs_to_come_has_the_digest_that_dvc_then_finds(folder: Path):
    with dvc_api.locked_repo(folder) as repo:
        report = repo.stage.load_one(name="report")
        metrics = next(dep for dep in report.deps if dep.def_path == "metrics")
        now = metrics.get_hash()
        sft = next(
            out
            for out in repo.stage.load_one(name="sft@sft").outs
            if out.def_path == "metrics/train/sft.json"
        )
        (folder / "metrics/train/sft.json").unlink()
        assert metrics.get_hash() != now
        assert dvc_content.folder_hash(metrics, {sft.fs_path: sft.hash_info}, []) == now
        gone = [str(folder / "metrics/train/other.json")]
        expected = dvc_content.folder_hash(metrics, {sft.fs_path: sft.hash_info}, gone)
        (folder / "metrics/train/sft.json").write_bytes(Path(sft.cache_path).read_bytes())
        (folder / "metrics/train/other.json").unlink()
        assert metrics.get_hash() == expected


def test_a_stage_that_is_held_is_refused_to_others(graph: Project, folder: Path):
    graph.set("sft.common.steps", 999)
    with dvc_api.locked_repo(folder) as repo:
        stage = repo.stage.load_one(name="sft@sft")
        held = dvc_record.stage_lock(repo, stage)
        held.__enter__()
    try:
        refused = graph.dvc("repro", "sft@sft")
        assert refused.returncode != 0
        assert "is busy" in refused.stderr + refused.stdout
        assert graph.ran() == []
        assert graph.dvc("repro", "-s", "base@base").returncode != 0, "it writes what the held stage reads"
        assert graph.dvc("repro", "-s", "evaluate@other").returncode == 0, (
            "what the held stage does not touch stays free"
        )
    finally:
        held.__exit__(None, None, None)
    assert graph.dvc("repro", "sft@sft").returncode == 0


def test_a_full_disk_is_an_error_and_no_endless_wait(graph: Project, monkeypatch):
    """diskcache begins a transaction for ever where SQLite says that the disk is full; under our lock it
    tries once.
    """
    import sqlite3

    from diskcache import Cache

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with dvc_api.locked_repo(graph.folder) as repo:
        monkeypatch.setattr(Cache, "_sql", property(lambda _: full))
        with pytest.raises(OSError, match="cannot be written: database or disk is full"):
            repo.state.links["some/path"] = (1, 2.0)
        monkeypatch.undo()
        repo.state.links["some/path"] = (1, 2.0)
        assert repo.state.links["some/path"] == (1, 2.0)
