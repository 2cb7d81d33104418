"""The whole repository as a user has it: a git clone of this checkout, with what is not yet committed here,
and settings that train in seconds.

A test that stands outside of the project sees no check of what lies in it: whatever trains with the real code
is tried here, by `whetstone …`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.flows import toy

ROOT = toy.ROOT
TINY: dict[str, Any] = {
    "corpus.exam.sources.exam.n_sft": 200,
    "corpus.exam.sources.exam.n_rl": 60,
    "corpus.exam.sources.exam.n_validation": 20,
    "corpus.exam.sources.exam.n_heldout": 20,
    "base.common.architecture.hidden_size": 32,
    "base.common.architecture.intermediate_size": 64,
    "base.common.architecture.layers": 2,
    "sft.common.steps": 3,
    "sft.common.batch_size": 8,
    "sft.common.optimiser.kind": "adamw",  # muon needs whole matrices: ZeRO 0 only
    "rl.common.iterations": 2,
    "rl.common.prompts": 4,
    "rl.common.validation_every": 0,
    "execution.threads": 1,
    "execution.retries": 0,
    "execution.grace_s": 2,
}


def make(folder: Path, settings: dict[str, Any] | None = None, python: str = sys.executable) -> toy.Project:
    """A clone in `folder` (which must not exist) with TINY and `settings` (dotted keys) in its
    params.yaml; `python` runs its commands and stages (see `tests.flows.forks`).
    """
    env = toy.environment(folder.parent)
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(ROOT), str(folder)], check=True, env=env)
    named = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "-m", "-d", "-o", "--exclude-standard"],
        check=True,
        capture_output=True,
        env=env,
    )
    for name in filter(None, os.fsdecode(named.stdout).split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    project = toy.Project(folder, python)
    project.env.pop("PYTHONPATH", None)
    for key, value in {**TINY, **(settings or {})}.items():
        project.set(key, value)
    return project
