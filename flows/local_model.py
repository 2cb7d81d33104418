"""A model of this machine by its name or folder, and where the project's execution settings run it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tasks.execution_params import ExecutionParams

if TYPE_CHECKING:
    from pipelines.inference.checkpoint import Checkpoint
    from pipelines.models.placement import Placement


class UnknownModel(ValueError):
    """The text names no model: neither a folder, nor a run, nor a registered one."""


def current_root() -> Path | None:
    """Returns the project that the current folder is in, or None."""
    from flows.workspace import NotAProject, find_root

    try:
        return find_root()
    except NotAProject:
        return None


def model_folder(name: str, root: Path | None) -> Path:
    """Returns the folder with the weights for a path, the name of a run (`models/NAME/model`) or a registered
    name. Raises UnknownModel.
    """
    places = [Path(name), *([root / name, root / "models" / name] if root else [])]
    for candidate in (inner for outer in places for inner in (outer / "model", outer)):
        if (candidate / "config.json").is_file() or (candidate / "member_0" / "config.json").is_file():
            return candidate.absolute()
    if root is None:
        raise UnknownModel(
            f"{name}: no folder with a model's config.json here; inside a project, names of runs and "
            f"registered names count too"
        )
    from flows.provenance.content import Contents
    from flows.provenance.history import History
    from flows.provenance.subject import UnknownSubject, locate

    try:
        contents = Contents(root)
        candidate = locate(contents, History(root, contents.cache), name).place
    except UnknownSubject as failure:
        raise UnknownModel(f"{failure}; models at hand: {_at_hand(root)}") from failure
    if not candidate.is_dir():
        raise UnknownModel(f"{name}: its folder {candidate} is not there; `whetstone run` brings it back")
    return candidate


def _at_hand(root: Path) -> str:
    names = sorted(path.parts[-3] for path in root.glob("models/*/model/config.json"))
    return ", ".join(names) or "none, `whetstone run` makes them"


def execution_settings(root: Path | None) -> ExecutionParams:
    """Returns the project's execution settings where they can be read, else the defaults."""
    from flows.graph.params_file import PARAMS, ParamsError, read_yaml

    try:
        values = read_yaml(root / PARAMS).get("execution") if root else None
        return ExecutionParams.model_validate(values or {})
    except (ParamsError, ValidationError):
        return ExecutionParams()


def placement(execution: ExecutionParams) -> Placement:
    from pipelines.models.placement import Placement

    return Placement.resolve(execution.device, execution.dtype, execution.threads)


def open_checkpoint(name: str, root: Path | None) -> Checkpoint:
    """Returns the model that `name` names (`model_folder`, or a .gguf file), ready to be asked. Raises
    UnknownModel; ValueError or OSError where it cannot be loaded.
    """
    from pipelines.inference.checkpoint import load

    place = Path(name).absolute()
    if not (place.suffix == ".gguf" and place.is_file()):
        place = model_folder(name, root)
    execution = execution_settings(root)
    return load(place, placement(execution), execution.trust_remote_code)
