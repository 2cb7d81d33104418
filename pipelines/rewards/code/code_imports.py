"""Which modules the tests of code problems import and their sandbox has not: said once, before tests that
cannot run judge programs.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Sequence

from pipelines.rewards.code.program_text import parse
from pipelines.rewards.sandbox.launcher import package_paths


def importable(modules: Sequence[str]) -> frozenset[str]:
    """Names that can be imported: the standard library's, and those of the listed distributions that are
    installed.
    """
    return sys.stdlib_module_names | {path.name.partition(".")[0] for path in package_paths(modules)}


def imported_modules(source: str) -> set[str]:
    """Top-level names of the modules that code imports, wherever in it, but for those that it can do without
    (`try: import …`).
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
    """Names that these sources import and the sandbox has not."""
    there = importable(modules)
    return {name for source in sources for name in imported_modules(source) - there}
