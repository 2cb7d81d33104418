"""Files of the project that are not what they should be: a sentence with the place, exit code 2 or 1, never a
traceback.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.graph import recipes
from flows.graph.params_file import PARAMS, ParamsError
from tests.flows.toy import ROOT, Project


def dangling(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.parent / "nowhere")


def folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "dangling": dangling,
    "a folder": folder,
    "not UTF-8": lambda path: path.write_bytes(b"identity: {seed: \xff\xfe}\n"),
    "a control character": lambda path: path.write_text("identity: {seed: \x01}\n"),
    "no mapping": lambda path: path.write_text("- 1\n- 2\n"),
    "empty": lambda path: path.write_text(""),
    "python's own": lambda path: path.write_text("identity: !!python/object/apply:os.system ['true']\n"),
    "nested": lambda path: path.write_text("a: " + "[" * 5000),
    "cut": lambda path: path.write_text("identity: {seed: 0"),
    "a link to itself": lambda path: (path.unlink(missing_ok=True), path.symlink_to(path.name)),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_params(graph: Project, kind: str) -> None:
    DAMAGE[kind](graph.folder / "params.yaml")
    for words in (["plan"], ["run"], ["status"], ["use", "default"]) if kind == "dangling" else (["plan"],):
        done = graph.call(*words)
        assert done.returncode in (1, 2), (words, done.stdout, done.stderr)
        assert "Traceback" not in done.stdout + done.stderr, words
        assert "params.yaml" in done.stdout + done.stderr, words


@pytest.mark.parametrize("kind", DAMAGE)
def test_recipes(tmp_path: Path, kind: str) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / PARAMS).write_text((ROOT / PARAMS).read_text())
    DAMAGE[kind](tmp_path / "recipes/mine.yaml")
    with pytest.raises(ParamsError, match=r"mine\.yaml"):
        recipes.use(tmp_path, "mine")
    assert (tmp_path / PARAMS).read_text() == (ROOT / PARAMS).read_text()


@pytest.mark.parametrize("words", [["plan"], ["run", "corpus@exam"]], ids=" ".join)
def test_a_dangling_link_among_the_raw_data(graph: Project, words: list[str]) -> None:
    dangling(graph.folder / "raw/toy/more.txt")
    done = graph.call(*words)
    assert "Traceback" not in done.stdout + done.stderr
    if done.returncode:
        assert "raw/toy" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "words", [["plan", "-S", "report.samples=2"], ["run", "-S", "report.samples=2"], ["use", "default"]]
)
def test_a_disk_without_room(graph: Project, words: list[str]) -> None:
    """No file may grow: as on a full disk, every write fails."""
    before = (graph.folder / "params.yaml").read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "flows", *words],
        cwd=graph.folder, env=graph.env, capture_output=True, text=True, timeout=240,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode in (0, 1)
    if done.returncode:
        assert "free some space" in done.stderr
    assert (graph.folder / "params.yaml").read_bytes() == before
