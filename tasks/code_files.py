"""Which file is a module of this project, as Python's own finder decides: for the code digests, and for the
check of what a stage really ran.
"""

from __future__ import annotations

import os
from importlib.machinery import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from pathlib import Path

PACKAGES = ("flows", "tasks", "pipelines")
# holds only settings that change no result: no stage's code digest holds it
UNKEYED = frozenset({"tasks.execution_params"})
# in the order of importlib's FileFinder
_SUFFIXES = (*EXTENSION_SUFFIXES, *SOURCE_SUFFIXES, *BYTECODE_SUFFIXES)


def is_options(module: str) -> bool:
    """Returns whether a module of this dotted name is an `options.py`, whose records count one by one
    (flows/graph/option_records.py).
    """
    return module.rpartition(".")[2] == "options"


def source_file(root: Path, name: str) -> Path | None:
    """Returns the file behind a dotted name of a code digest: a module's, or that of the options module which
    holds a record. None where there is no such file.
    """
    module = module_file(root, name)
    if module is None and is_options(name.rpartition(".")[0]):
        module = module_file(root, name.rpartition(".")[0])
    return module[0] if module else None


def module_file(root: Path, name: str) -> tuple[Path, bool] | None:
    """Returns (file, whether it is a package) of a dotted name below `root`; None when there is no such file.

    A folder with `__init__` shadows a file of the same name, and a compiled module shadows a source file.
    """
    base = os.path.join(root, *name.split("."))
    if os.path.isdir(base):
        for suffix in _SUFFIXES:
            if os.path.isfile(path := os.path.join(base, "__init__" + suffix)):
                return Path(path), True
    for suffix in _SUFFIXES:
        if os.path.isfile(path := base + suffix):
            return Path(path), False
    return None


def module_name(root: Path, file: Path) -> str:
    """Returns the dotted module name of a file below `root`, or its relative path when it cannot be a
    module.
    """
    relative = file.relative_to(root)
    stem = relative.name.partition(".")[0]
    parts = [*relative.parts[:-1], *([] if stem == "__init__" else [stem])]
    if (
        relative.name.endswith(_SUFFIXES)
        and len(parts)
        and parts[0] in PACKAGES
        and all(part.isidentifier() for part in parts)
    ):
        return ".".join(parts)
    return relative.as_posix()
