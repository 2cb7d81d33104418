"""Inputs that are handed over beside the project, not part of it: WHETSTONE_CASES, else ../shared/cases."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CASES = Path(os.environ.get("WHETSTONE_CASES", Path(__file__).resolve().parents[1] / "../shared/cases"))


def case(name: str) -> Path:
    """The file; the test is skipped where it is absent."""
    path = CASES / name
    if not path.exists():
        pytest.skip(f"{path} is not there; WHETSTONE_CASES names the folder")
    return path
