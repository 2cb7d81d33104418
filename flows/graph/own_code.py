"""The code of the user's own that a stage runs: a reward function's file, and what it imports, wherever
it lies in the project.

A file finds modules beside it first and from the project's folder next, as in its process
(pipelines/rewards/own/worker.py). Modules are hashed as those of the project are; a file that a string names
(`rubric.json`) counts byte for byte. A package from outside counts by its version.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

from flows.graph import module_text
from flows.graph.families import families
from tasks.code_files import PACKAGES, module_file, module_name


@dataclass
class OwnCode:
    """`files`: digests by path relative to the project, with a slash in each; `modules`: dotted names of the
    project's own that these import; `packages`: top-level names of what is installed.
    """

    files: dict[str, str] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)
    packages: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Module:
    """A module of the user's own: its dotted name, and the folder that its imports look in first."""

    name: str
    beside: Path
    file: Path
    is_package: bool = False


def reached(root: Path, entries: Iterable[str]) -> OwnCode:
    """Returns what `entries` (paths that end with .py, and dotted names) reach. Raises FileNotFoundError and
    SyntaxError, which name the file.
    """
    code, todo, known = OwnCode(), [], set[Path]()
    for entry in entries:
        if entry.endswith(".py"):
            todo += _script(root, entry, code)
        else:
            todo += _imported(root, root, entry, code)
    while todo:
        module = todo.pop()
        if module.file in known:
            continue
        known.add(module.file)
        text = _read(module)
        form = {"source": "bytes", "docstrings": "with_docstrings", "": "digest"}[text["reads"]]
        code.files[_key(root, module.file)] = text[form]
        for path in _named_files(root, module.file.parent, text["words"]):
            code.files[_key(root, path)] = module_text.digest(path.read_bytes())
        for name in text["imports"]:
            todo += _imported(root, module.beside, name, code)
    return code


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Returns {distribution: version} of installed packages by their top-level names; those of Python itself,
    and of what is not installed, are left out.
    """
    result = {}
    for name in sorted(set(packages) - sys.stdlib_module_names):
        for distribution in _distributions(name):
            result[distribution] = version(distribution).partition("+")[0]
    return result


def _script(root: Path, path: str, code: OwnCode) -> list[_Module]:
    file = Path(os.path.normpath(root / path))
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {path} in {root}")
    if (name := module_name(root, file)).partition(".")[0] in PACKAGES and "/" not in name:
        code.modules.add(name)
        return []
    return [_Module(file.stem, file.parent, file)]


def _imported(root: Path, beside: Path, name: str, code: OwnCode) -> list[_Module]:
    """Returns the modules of the user's own that `import name` runs, where `name` may end with what a module
    holds; notes it as the project's or as a package's where it is none of them.
    """
    if name.partition(".")[0] in PACKAGES:
        code.modules.add(name)
        return []
    parts = name.split(".")
    for folder in dict.fromkeys((beside, root)):
        modules = [
            _Module(dotted, folder, *file)
            for end in range(1, len(parts) + 1)
            if (file := module_file(folder, dotted := ".".join(parts[:end])))
        ]
        if modules:
            return modules
    code.packages.add(parts[0])
    return []


def _read(module: _Module) -> dict[str, Any]:
    try:
        return module_text.read(module.file, module.name, module.is_package)
    except SyntaxError as error:
        raise SyntaxError(
            f"{module.file}:{error.lineno}: {error.msg}; the code digest needs every module to parse"
        ) from None


def _named_files(root: Path, folder: Path, words: Iterable[str]) -> Iterator[Path]:
    """Yields the files that strings of a module name, beside it or from the project's folder; none that a
    stage makes, since that one would not be waited for.
    """
    made = {out.partition("/")[0] for family in families(root) for out in family.outs}
    for word in words:
        for base in dict.fromkeys((folder, root)):
            path = Path(os.path.normpath(base / word))
            if path.is_relative_to(root) and path.suffix not in (".py", ".log") and path.is_file():
                if path.relative_to(root).parts[0] not in {*made, ".git", ".dvc", ".whetstone", *PACKAGES}:
                    yield path
                break


def _key(root: Path, path: Path) -> str:
    """Returns the path as the digests name it: a slash tells it from a module's name."""
    relative = path.relative_to(root).as_posix()
    return relative if "/" in relative else f"./{relative}"


@lru_cache(maxsize=1024)
def _distributions(name: str) -> tuple[str, ...]:
    try:
        version(name)
    except PackageNotFoundError:
        return tuple(sorted(set(_all_distributions().get(name, ()))))
    return (name,)


@lru_cache(maxsize=1)
def _all_distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())
