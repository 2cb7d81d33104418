"""Look a seam's module up by name: the folder is the table, so a new method is a new file and edits no other
stage's code.

Where a folder holds machinery as well, its choices lie in rooms: `final_answer` of `pipelines.rewards` is
rules/final_answer.py. A file beside the rooms is a choice too.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
ROOMS: Mapping[str, tuple[str, ...]] = {"pipelines.rewards": ("rules", "code", "models", "own")}


def load(package: str, name: str) -> ModuleType:
    """The module of the choice `name`. The stage's code digest holds it because the stage's parameters name
    it (`settings.seam_modules`).
    """
    return import_module(module_of(package, name))


def module_of(package: str, name: str) -> str:
    """The dotted name of a choice's module."""
    return ".".join(path_of(package, name).relative_to(ROOT).with_suffix("").parts)


def path_of(package: str, name: str) -> Path:
    """The file of a choice; in the seam's own folder where there is none yet."""
    places = [folder / f"{name}.py" for folder in _folders(package)]
    return next((path for path in places if path.is_file()), places[0])


def paths(package: str, name: str = "*") -> list[Path]:
    """The files of this name, or all, in the folder of a seam and its rooms."""
    return [path for folder in _folders(package) for path in sorted(folder.glob(f"{name}.py"))]


def _folders(package: str) -> list[Path]:
    folder = ROOT.joinpath(*package.split("."))
    return [folder, *(folder / room for room in ROOMS.get(package, ()))]
