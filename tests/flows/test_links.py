"""Links among inputs, and caches that DVC's user configuration names: plan, run and audit see what DVC
sees.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from flows.graph import plan
from flows.graph.params_file import ParamsError
from flows.provenance.audit import audit
from tasks.content import content_id, dvc_cache
from tests.flows import toy


def test_a_link_to_a_file_counts_as_the_file(graph: toy.Project, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("five\n")
    os.symlink(outside, graph.folder / "raw/toy/link.txt")
    assert "corpus@exam" in graph.plan()
    graph.bring("sft@sft")
    assert graph.plan("sft@sft") == {}
    assert audit(graph.folder, "models/sft") == []
    outside.write_text("six\n")
    assert "corpus@exam" in graph.plan()
    assert any("link.txt" in problem.path for problem in audit(graph.folder, "models/sft"))


def test_nothing_looks_behind_a_link_to_a_folder_and_no_stage_runs_over_one(
    graph: toy.Project, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/more.txt").write_text("five\n")
    before = content_id(graph.folder / "raw/toy")[0]
    os.symlink(tmp_path / "outside", graph.folder / "raw/toy/link")
    assert content_id(graph.folder / "raw/toy")[0] == before
    assert graph.plan() == {}  # the recorded result did not read it
    assert any(problem.path == "raw/toy/link" for problem in audit(graph.folder, "models/sft"))
    graph.edit("pipelines/toy/near.py", "return 1", "return 2")
    assert graph.bring("corpus", expect=1)["corpus@exam"] == "failed"


def test_a_dangling_link_ends_in_a_sentence(graph: toy.Project) -> None:
    os.symlink("nowhere", graph.folder / "raw/toy/link.txt")
    done = graph.call("plan")
    assert done.returncode == 1
    assert "link.txt is a link to nothing" in done.stderr
    assert "Traceback" not in done.stderr
    assert any(problem.path == "raw/toy/link.txt" for problem in audit(graph.folder, "models/sft"))


@pytest.mark.parametrize("variable", ["DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"])
def test_a_shared_cache_of_the_user_or_the_system(
    graph: toy.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The plan has always honoured it, since DVC does; the audit looked into the project's own."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/config").write_text(f"[cache]\n    dir = {tmp_path / 'shared'}\n    type = symlink\n")
    (graph.folder / ".dvc/cache").rename(tmp_path / "shared")
    monkeypatch.setenv(variable, str(tmp_path / "etc"))
    assert dvc_cache(graph.folder) == tmp_path / "shared"
    assert graph.plan(**{variable: str(tmp_path / "etc")}) == {}
    shutil.rmtree(graph.folder / "models/sft/model")
    assert audit(graph.folder, "models/grpo") == []
    assert graph.bring("sft@sft", **{variable: str(tmp_path / "etc")}) == {"sft@sft": "restore"}
    assert (graph.folder / "models/sft/model/content.txt").is_symlink()
    assert graph.plan(**{variable: str(tmp_path / "etc")}) == {}
    assert audit(graph.folder, "models/grpo") == []


def refused(project: toy.Project, monkeypatch: pytest.MonkeyPatch, key: str, value: object) -> str:
    """What the plan says of a setting that it refuses; params.yaml is put back."""
    path = project.folder / "params.yaml"
    before = path.read_text()
    project.set(key, value)
    if key == "base.common.pretrained":
        project.set("base.common.architecture", None)
    monkeypatch.chdir(project.folder)
    try:
        with pytest.raises(ParamsError) as error:
            plan.make(project.folder)
    finally:
        path.write_text(before)
    return str(error.value)


def test_what_a_stage_makes_is_never_taken_from_outside(
    graph: toy.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its maker would not be waited for. Every place that names a model or a tokenizer, every way to write a
    path, and links.
    """
    model = "models/sft/model"
    graph.set("rl.methods.other.objective", "clip")  # the toy's own objectives are not those of this process
    (graph.folder / "mine").mkdir()
    os.symlink(f"../{model}/content.txt", graph.folder / "mine/w.bin")
    os.symlink(graph.folder / "models", tmp_path / "all")
    os.symlink(tmp_path / "all/sft", graph.folder / "raw/link")
    for text in (
        "models/base/../sft/model//content.txt",
        "models",
        str(graph.folder / model),
        f"../project/{model}",
        {"path": model},
    ):
        assert "is made by the stage" in refused(graph, monkeypatch, "base.common.pretrained", text), text
    for key, value in {
        "base.runs.base": {"data": "none", "tokenizer": {"kind": "pretrained", "id": model}},
        "rl.methods.grpo.reward": {"kind": "chat_verifier", "model": model},
    }.items():
        assert "is made by the stage sft@sft" in refused(graph, monkeypatch, key, value), key
    for key, text in (
        ("base.common.pretrained", "raw/link"),
        ("base.common.pretrained", str(tmp_path / "all/sft/model")),
        ("corpus.exam.raw", "mine"),
    ):
        assert "which the stage sft@sft makes" in refused(graph, monkeypatch, key, text), (key, text)
    assert "no stage makes it" in refused(graph, monkeypatch, "base.common.pretrained", "models/stf")
    # not made yet: neither an id of Hugging Face's nor a path that is missing
    shutil.rmtree(graph.folder / "models")
    for text, said in (
        ("models/sft", "is made by the stage sft@sft"),
        ("raw/link", "which the stage sft@sft makes"),
    ):
        assert said in refused(graph, monkeypatch, "base.common.pretrained", text)


def test_the_command_line_says_that_a_stage_makes_it(graph: toy.Project) -> None:
    graph.set("rl.methods.grpo.reward", {"kind": "chat_verifier", "model": "models/base/model"})
    done = graph.call("plan")
    assert done.returncode == 2
    assert (
        "models/base/model is made by the stage base@base and cannot be taken from outside too"
        in done.stdout + done.stderr
    )
