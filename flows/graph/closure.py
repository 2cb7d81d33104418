"""Digest of the code that an entry module reaches: its import closure through our packages, each module hashed as a syntax tree.

Comments, docstrings and layout do not count; every import statement anywhere in a module does, also inside functions. Symbol level (only
the functions reached) is unsound with decorators and registries, so modules are kept small instead. Files that are no Python (templates)
count byte for byte when they lie in a package folder below the root packages that the closure enters.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGES = ("flows", "tasks", "pipelines")
UNKEYED = frozenset({"tasks.execution_params"})  # holds only settings that do not change results (design §2)
CACHE = ".whetstone/closure.json"


@dataclass(frozen=True)
class Declared:
    """What the digest needs of a stage's declaration: its name, its command, and the sections of params.yaml that it names."""

    name: str
    command: str
    sections: tuple[str, ...]


class _WithoutDocstrings(ast.NodeTransformer):
    def _strip(self, node: Any) -> Any:
        self.generic_visit(node)
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:] or [ast.Pass()]
        return node

    visit_Module = visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _strip


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _read_module(path: Path, module: str, is_package: bool) -> dict[str, Any]:
    """{"digest", "imports"}; imports are absolute dotted names, for `from a import b` both `a` and `a.b`."""
    tree = ast.parse(path.read_bytes(), str(path))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".") if is_package else module.split(".")[:-1]
                parents = parents[: len(parents) - (node.level - 1)]
                base = ".".join([*parents, *([node.module] if node.module else [])])
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and "import_module" in (getattr(node.func, "attr", ""), getattr(node.func, "id", "")):
            found.update(arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant) and isinstance(arg.value, str))
    stripped = _WithoutDocstrings().visit(tree)
    return {"digest": _digest(ast.dump(stripped, annotate_fields=False).encode()), "imports": sorted(found)}


class Code:
    """The first-party modules below `root`, read once and remembered across processes by size and time of change."""

    def __init__(self, root: Path):
        self.root = root
        self._cache_path = root / CACHE
        self._cache: dict[str, Any] = {}
        self._changed = False
        self._known: dict[str, dict[str, Any] | None] = {}
        with contextlib.suppress(OSError, ValueError):  # a missing or broken cache only costs time
            self._cache = json.loads(self._cache_path.read_text("utf-8"))

    def module(self, name: str) -> dict[str, Any] | None:
        """Digest and imports of a first-party module, or None when there is no such file."""
        if name not in self._known:
            self._known[name] = self._load(name)
        return self._known[name]

    def _load(self, name: str) -> dict[str, Any] | None:
        if name.split(".")[0] not in PACKAGES:
            return None
        base = self.root.joinpath(*name.split("."))
        for path, is_package in ((base.with_suffix(".py"), False), (base / "__init__.py", True)):
            try:
                stat = path.stat()
            except OSError:
                continue
            stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
            known = self._cache.get(name)
            if known is None or known["stamp"] != stamp:
                try:
                    known = {"stamp": stamp, "package": is_package, **_read_module(path, name, is_package)}
                except SyntaxError as error:
                    raise SyntaxError(f"{path}:{error.lineno}: {error.msg}; the code digest needs every module to parse") from None
                self._cache[name] = known
                self._changed = True
            return known
        return None

    def closure(self, entries: Iterable[str]) -> tuple[set[str], set[str]]:
        """(first-party modules, top-level names of other packages) that the entries reach."""
        todo, ours, others = list(entries), set[str](), set[str]()
        while todo:
            name = todo.pop()
            if name in ours:
                continue
            found = self.module(name)
            if found is None:
                if name.split(".")[0] not in PACKAGES:
                    others.add(name.split(".")[0])
                continue
            ours.add(name)
            parts = name.split(".")
            todo.extend(".".join(parts[:i]) for i in range(1, len(parts)))  # parents' __init__ run too
            todo.extend(found["imports"])
        return ours, others

    def digests(self, modules: Iterable[str]) -> dict[str, str]:
        """Module -> digest, and for package folders below a root package their other files -> digest."""
        result = {}
        for name in sorted(modules):
            found = self.module(name)
            if found is None or name in UNKEYED:
                continue
            result[name] = found["digest"]
            if found["package"] and "." in name:
                folder = self.root.joinpath(*name.split("."))
                for path in sorted(folder.iterdir()):
                    if path.is_file() and path.suffix not in (".py", ".pyc"):
                        result[path.relative_to(self.root).as_posix()] = _digest(path.read_bytes())
        return result

    def save(self) -> None:
        """Write the cache, atomically."""
        if self._changed:
            self._cache_path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._cache_path.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_text(json.dumps(self._cache), "utf-8")
            os.replace(temporary, self._cache_path)
            self._changed = False
