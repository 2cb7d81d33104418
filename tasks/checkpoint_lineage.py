"""lineage.json: the file beside each checkpoint that records what made it, with digests, and which files it
must have.

It is stored with the model, so that a copied checkpoint can be traced. Only `git` and `run` differ between
two equal runs.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from tasks import durable
from tasks.content import content_id, folder_digest, folder_files
from tasks.stage import Spec, Stage

NAME = "lineage.json"
VOLATILE = ("git", "run")  # what two bit-equal runs may differ in


@cache
def installed_packages() -> dict[str, str]:
    """Returns {distribution: version} of everything installed. It is recorded and is no part of the stage's
    key.
    """
    versions = {dist.metadata["Name"]: dist.version for dist in distributions() if dist.metadata["Name"]}
    return dict(sorted(versions.items(), key=lambda item: item[0].lower()))


def describe(spec: Spec, model_folder: Path, metrics: Mapping[str, Any], wall_s: float) -> dict[str, Any]:
    """Returns the content of lineage.json for the model in `model_folder`, whose bytes are read here.
    `wall_s`: seconds that the stage took.
    """
    files = folder_files(model_folder)
    if not files:
        raise FileNotFoundError(
            f"{spec.stage} left no file in {model_folder}; a checkpoint needs its weights, configuration and "
            f"tokenizer"
        )
    return {
        "stage": spec.stage,
        "command": spec.command,
        "key": spec.key,
        "inputs": dict(spec.inputs),
        "params": dict(spec.params),
        "code": dict(spec.code),
        "environment": {
            "keyed": dict(spec.environment),
            "packages": installed_packages(),
            "python": platform.python_version(),
        },
        "seed": _seed(spec.params),
        "metrics": dict(metrics),
        "files": files,
        "model_digest": folder_digest(files),
        "outs": _other_outputs(spec, model_folder),
        "git": dict(spec.git),
        "run": {**dict(spec.run), "wall_s": round(wall_s, 3)},
    }


def _other_outputs(spec: Spec, model_folder: Path) -> dict[str, str]:
    """Returns the digests of the stage's other outputs, so that its whole record can be restored from this
    file.
    """
    outputs = {path: Path(spec.work) / "outs" / path for path in spec.outs if not path.endswith(f"/{NAME}")}
    return {
        path: content_id(location)[0]
        for path, location in outputs.items()
        if location != model_folder and location.exists()
    }


def _seed(params: Mapping[str, Any]) -> int | None:
    for section, value in params.items():
        if ".runs." in section and isinstance(value, Mapping) and "seed" in value:
            return int(value["seed"])
    return params.get("identity.seed", (params.get("identity") or {}).get("seed"))


def write(stage: Stage, model_folder: Path, metrics: Mapping[str, Any], path: Path, wall_s: float) -> None:
    """Write lineage.json to `path` atomically."""
    text = (
        json.dumps(
            describe(stage.spec, model_folder, metrics, wall_s), indent=1, sort_keys=True, allow_nan=False
        )
        + "\n"
    )
    durable.write(path, text)
