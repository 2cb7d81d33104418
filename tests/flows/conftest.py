"""One toy graph is run once per test session; every test gets a copy of it with its caches."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.graph.params_file import PARAMS, read_yaml
from flows.graph.presets import with_presets
from tests.flows import forks, toy
from tests.flows.accident import run_once, scene  # noqa: F401


@pytest.fixture(scope="session")
def python() -> Iterator[str]:
    """An interpreter whose processes start with DVC loaded."""
    # short: it holds a socket
    with tempfile.TemporaryDirectory(prefix="forks-") as folder, forks.server(Path(folder)) as path:
        yield path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, python: str) -> Path:
    folder = toy.make(tmp_path_factory.mktemp("toy") / "project")
    project = toy.Project(folder, python)
    project.bring()
    project.ran()
    return folder


def _copy(finished: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(finished, folder, symlinks=True)
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> toy.Project:
    """Its commands are processes of the ordinary kind."""
    return toy.Project(_copy(finished, tmp_path))


@pytest.fixture
def graph(finished: Path, tmp_path: Path, python: str) -> toy.Project:
    """The same, with processes that start fast (see `forks`): for all that needs no true process tree."""
    return toy.Project(_copy(finished, tmp_path), python)


@pytest.fixture
def raw() -> dict[str, Any]:
    """The values of this project's params.yaml with its presets, for a test to change."""
    return copy.deepcopy(with_presets(read_yaml(toy.ROOT / PARAMS), toy.ROOT))
