"""Names of a workspace's experiment and models in a store that other projects use too.

The project's own store has plain names. In any other store every workspace has its own experiment, with a
folder of its own for artifacts, and its models carry the workspace's name: another workspace's `sft@current`
is never taken for this one's.
"""

from __future__ import annotations

import json
import os
import re
import socket
import uuid
from pathlib import Path

EXPERIMENT = "whetstone"
TAG = "whetstone.workspace"


def workspace(root: Path) -> str:
    """Returns this workspace's name, `FOLDER-ID`, which is created once (.whetstone/workspace.json). It moves
    with the folder; a copy gets its own.
    """
    path = root / ".whetstone" / "workspace.json"
    record = _read(path)
    location = {"root": str(root), "host": socket.gethostname()}
    if record.get("name") and {key: record.get(key) for key in location} == location:
        return str(record["name"])
    original = Path(str(record.get("root"))) / ".whetstone" / "workspace.json" if record.get("root") else path
    copied = original != path and _read(original).get("name") == record.get("name")
    folder = re.sub(r"[^A-Za-z0-9]+", "-", root.name).strip("-")[:40]
    name = (
        str(record["name"])
        if record.get("name") and not copied
        else f"{folder or 'project'}-{uuid.uuid4().hex[:8]}"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps({"name": name, **location}, indent=1), "utf-8")
    os.replace(temporary, path)
    return str(_read(path)["name"])


def experiment(root: Path, shared: bool) -> str:
    """Returns MLFLOW_EXPERIMENT_NAME, or else `whetstone` in the project's own store and
    `whetstone-FOLDER-ID` in another.
    """
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or (
        f"{EXPERIMENT}-{workspace(root)}" if shared else EXPERIMENT
    )


def registered(root: Path, name: str, shared: bool) -> str:
    """Returns the registry's name of the model that people call `name`."""
    return f"{workspace(root)}.{name}" if shared else name


def model_name(path: str) -> str:
    """Returns a checkpoint's name for people: models/sft/model -> sft."""
    parts = Path(path).parts
    return parts[-2] if parts[-1] == "model" and len(parts) > 1 else parts[-1]


def _read(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
