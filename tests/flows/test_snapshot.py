"""Snapshots keep the exact tree of a run and touch nothing that the user owns."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flows.provenance import snapshot
from flows.provenance.source_state import extract


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / ".gitignore").write_text("/models/\n")
    (folder / "params.yaml").write_text("lr: 1\n")
    return folder


def state(folder: Path) -> tuple[str, ...]:
    """All that must stay as it is: branch, HEAD, index, working tree."""
    return (
        git(folder, "symbolic-ref", "HEAD"),
        git(folder, "for-each-ref", "refs/heads"),
        git(folder, "ls-files", "--stage"),
        git(folder, "status", "--porcelain"),
    )


def test_before_the_first_commit(repository: Path) -> None:
    before = state(repository)
    taken = snapshot.take(repository, "first run/1")
    assert taken.commit is None
    assert taken.dirty
    assert state(repository) == before
    assert git(repository, "rev-parse", "refs/pipeline/first-run-1") == taken.snapshot
    assert git(repository, "show", f"{taken.snapshot}:params.yaml") == "lr: 1"


def test_a_dirty_tree_is_kept_whole_and_the_user_sees_nothing(repository: Path, tmp_path: Path) -> None:
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "start")
    (repository / "staged").write_text("s")
    git(repository, "add", "staged")
    (repository / "params.yaml").write_text("lr: 2\n")
    (repository / "untracked ä").write_text("u")
    (repository / "models").mkdir()
    (repository / "models" / "weights").write_text("not source")
    before = state(repository)
    taken = snapshot.take(repository, "r2")
    assert state(repository) == before
    assert taken.dirty
    assert taken.commit == git(repository, "rev-parse", "HEAD")
    assert git(repository, "rev-parse", f"{taken.snapshot}^") == taken.commit
    extract(repository, taken.snapshot, tmp_path / "out")
    assert (tmp_path / "out" / "params.yaml").read_text() == "lr: 2\n"
    assert (tmp_path / "out" / "untracked ä").exists()
    assert (tmp_path / "out" / "staged").exists()
    assert not (tmp_path / "out" / "models").exists()
    assert taken.snapshot in git(repository, "log", "--all", "--format=%H")


def test_a_clean_tree_needs_no_new_commit(repository: Path) -> None:
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "start")
    taken = snapshot.take(repository, "r3")
    assert not taken.dirty
    assert taken.snapshot == taken.commit == git(repository, "rev-parse", "refs/pipeline/r3")


def test_a_project_below_the_repository_top_keeps_only_its_own_files_new(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    project = tmp_path / "inner" / "project"
    project.mkdir(parents=True)
    (project / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "private").write_text("another project's")
    taken = snapshot.take(project, "r4")
    assert git(tmp_path, "ls-tree", "-r", "--name-only", taken.snapshot) == "inner/project/dvc.yaml"


def test_large_untracked_files_stay_out_and_are_named(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "LARGEST", 100)
    (repository / "dump.bin").write_bytes(b"x" * 101)
    taken = snapshot.take(repository, "r5")
    assert taken.left_out == ("dump.bin",)
    assert "dump.bin" not in git(repository, "ls-tree", "-r", "--name-only", taken.snapshot)
    assert "params.yaml" in git(repository, "ls-tree", "-r", "--name-only", taken.snapshot)


def test_outside_git_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(snapshot.NoGit, match="git init"):
        snapshot.take(tmp_path, "r6")


def test_a_run_without_a_name_is_refused(repository: Path) -> None:
    with pytest.raises(ValueError, match="run id"):
        snapshot.take(repository, "//")
