"""What all tests share: an interpreter that has torch loaded, and the order of their files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows import forks


@pytest.fixture(scope="session")
def learning_python() -> Iterator[str]:
    """An interpreter whose processes start with what a stage that trains imports (`forks`): for chains that
    really learn and need no true process tree.
    """
    # short: it holds a socket
    with (
        tempfile.TemporaryDirectory(prefix="forks-") as folder,
        forks.server(Path(folder), forks.LEARNING) as path,
    ):
        yield path
