"""Damaged bytes (from a remote, after a power loss) are moved aside before a stage is brought up to date.
They are never deleted.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.graph import dvc_run_cache
from flows.workspace import STATE

BROKEN = "broken"


def aside(root: Path, path: Path) -> Path:
    """Move a file or folder below .whetstone/broken. Returns its new path."""
    inside = path.relative_to(root) if path.is_relative_to(root) else Path(*path.parts[1:])
    target = root / STATE / BROKEN / time.strftime("%Y%m%d-%H%M%S") / inside
    while target.exists():
        target = target.with_name(f"{target.name}+")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, target)
    return target


def set_damaged_aside(root: Path, repo: Any, stage: Any, say: Callable[[str], None]) -> None:
    """Move outputs and cache objects whose bytes differ from the recorded ones aside, since DVC would call
    them fresh.
    """
    outputs, objects = dvc_run_cache.damaged(repo, stage)
    for path in [*(root / name for name in outputs), *objects]:
        if path.exists():
            say(f"{path} is damaged: its bytes are not the recorded ones; moved to {aside(root, path)}")
