"""One toy graph is run once per test session; every test gets a copy of it with its caches."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.flows import toy


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = toy.make(tmp_path_factory.mktemp("toy") / "project")
    project = toy.Project(folder)
    done = project.dvc("repro", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    project.ran()
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> toy.Project:
    folder = tmp_path / "project"
    shutil.copytree(finished, folder, symlinks=True)
    return toy.Project(folder)
