"""Digest of the code that a stage uses: the import closure of its entry modules within our packages, each
module hashed as a syntax tree.

Comments, docstrings and layout do not count, unless a reached module may read them. Every import statement
anywhere in a module counts, also inside functions. A digest by symbol (only the functions that are reached)
would be unsound with decorators and registries, so modules are kept small instead. Files that are not modules
(templates, scripts that are run by their path) count byte for byte when a reached module names them. A stage
that reads anything else of the project is stopped (`tasks.reads`).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.graph import module_text
from flows.graph.package_data import PackageData
from tasks.code_files import PACKAGES, UNKEYED, is_options, module_file

CACHE = ".whetstone/closure.json"
FORMAT = 4  # of what the cache remembers of a module


@dataclass(frozen=True)
class Declared:
    """The parts of a stage's declaration that its digest depends on: its name, its command, and the sections
    of params.yaml that it names. `settings` are those that count by their resolved values.
    """

    name: str
    command: str
    sections: tuple[str, ...]
    settings: tuple[str, ...] = ()


class Code:
    """The first-party modules below `root`, read once and remembered across processes by size and time of
    change.
    """

    def __init__(self, root: Path):
        self.root = root
        self._data = PackageData(root)
        self._cache_path = root / CACHE
        self._cache: dict[str, Any] = {}
        self._changed = False
        self._known: dict[str, dict[str, Any] | None] = {}
        with contextlib.suppress(OSError, ValueError):  # a missing or broken cache only costs time
            cached = json.loads(self._cache_path.read_text("utf-8"))
            self._cache = (
                {name: row for name, row in cached.items() if isinstance(row, dict) and "stamp" in row}
                if isinstance(cached, dict)
                else {}
            )

    def module(self, name: str) -> dict[str, Any] | None:
        """Returns digest and imports of a first-party module, or of one record of an options module; None
        where there is no such file or record.
        """
        if name not in self._known:
            self._known[name] = self._load(name) or self._record(name)
        return self._known[name]

    def _record(self, name: str) -> dict[str, Any] | None:
        module, _, record = name.rpartition(".")
        known = self.module(module) if is_options(module) else None
        digests = (
            {} if known is None else {form: by_name.get(record) for form, by_name in known["records"].items()}
        )
        return (
            None
            if known is None or not all(digests.values()) or not digests
            else {**known, **digests, "of": module}
        )

    def _load(self, name: str) -> dict[str, Any] | None:
        if name.split(".")[0] not in PACKAGES:
            return None
        file = module_file(self.root, name)
        if file is None:
            return None
        path, is_package = file
        stat = path.stat()
        stamp = [FORMAT, path.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        known = self._cache.get(name)
        if known is None or known["stamp"] != stamp:
            try:
                known = {"stamp": stamp, "package": is_package, **module_text.read(path, name, is_package)}
            except SyntaxError as error:
                raise SyntaxError(
                    f"{path}:{error.lineno}: {error.msg}; the code digest needs every module to parse"
                ) from None
            self._cache[name] = known
            self._changed = True
        return known

    def closure(self, entries: Iterable[str]) -> tuple[set[str], set[str]]:
        """Returns (first-party modules, top-level names of other packages) that the entries import, directly
        or not. Of an options module that is imported for single records only, the records are named instead
        (`pipelines.objectives.options.ClipParams`).
        """
        todo, modules, packages = list(entries), set[str](), set[str]()
        while todo:
            name = todo.pop()
            if name in modules:
                continue
            module = self.module(name)
            if module is None:
                if name.split(".")[0] not in PACKAGES:
                    packages.add(name.split(".")[0])
                elif "." in name:  # `package.module.thing`
                    todo.append(name.rpartition(".")[0])
                continue
            modules.add(name)
            # a record's module runs as well, and does nothing but define
            parts = module.get("of", name).split(".")
            todo.extend(".".join(parts[:i]) for i in range(1, len(parts)))  # parents' __init__ run too
            todo.extend(module["imports"])
        return {
            name
            for name in modules
            if not is_options(name.rpartition(".")[0]) or name.rpartition(".")[0] not in modules
        }, packages

    def digests(self, modules: Iterable[str]) -> dict[str, str]:
        """Returns {module: digest}, with {path: digest} of the other files that these modules name."""
        known = {name: module for name in sorted(modules) if (module := self.module(name)) is not None}
        reads = {module["reads"] for module in known.values()}
        form = "bytes" if "source" in reads else "with_docstrings" if "docstrings" in reads else "digest"
        result = {name: module[form] for name, module in known.items() if name not in UNKEYED}
        folders: dict[str, set[str]] = {}
        for name, module in known.items():
            folder = name if module["package"] else module.get("of", name).rpartition(".")[0]
            folders.setdefault(folder.replace(".", "/"), set()).update(module["words"])
        for path in self._data.named(folders):
            result[path] = module_text.digest((self.root / path).read_bytes())
        return result

    def save(self) -> None:
        """Write the cache, atomically."""
        if self._changed:
            self._cache_path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._cache_path.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_text(json.dumps(self._cache), "utf-8")
            os.replace(temporary, self._cache_path)
            self._changed = False
