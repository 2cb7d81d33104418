"""Modules that tests of code problems import and their sandbox lacks: reported once, before any program is
judged.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Sequence

from pipelines.rewards.code.program_text import parse
from pipelines.rewards.sandbox.launcher import package_paths


def importable(modules: Sequence[str]) -> frozenset[str]:
    """Returns the top-level modules that a program can import: the standard library and the installed
    distributions `modules`.
    """
    return sys.stdlib_module_names | {path.name.partition(".")[0] for path in package_paths(modules)}


def imported_modules(source: str) -> set[str]:
    """Returns the top-level modules that `source` imports anywhere, except optional ones (`try:
    import …`).
    """
    tree = parse(source) if "import" in source else None
    if tree is None:
        return set()
    optional = {
        id(statement) for node in ast.walk(tree) if isinstance(node, ast.Try) for statement in node.body
    }
    modules: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in optional:
            continue
        if isinstance(node, ast.Import):
            modules |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module.partition(".")[0])
    return modules


def missing_modules(sources: Iterable[str], modules: Sequence[str]) -> set[str]:
    """Returns the top-level modules that the sources import and the sandbox lacks."""
    there = importable(modules)
    return {name for source in sources for name in imported_modules(source) - there}
