"""The records of an `options.py`: each counts by itself, so that several choices can share one file of
options.

That is sound only where importing the module does nothing but define them. So only a module that holds
imports, classes, functions and assignments has records, without decorators or metaclasses of its classes, and
with nothing but fields and methods in them; any other module counts as a whole. The module's assignments
count for every record, since a call in one may do anything.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from tasks.code_files import is_options

_WORD = re.compile(r"[A-Za-z_]\w*")
Digest = Callable[[ast.AST], str]


def records(tree: ast.Module, digest: Digest) -> dict[str, str]:
    """Returns name -> digest of every class: of its own text, of what it uses of the module (classes,
    functions, imported names), and of the module's assignments. Empty for a module that does more than
    define.
    """
    body = tree.body[1:] if ast.get_docstring(tree) is not None else tree.body
    defined: dict[str, ast.stmt] = {}
    assigned: list[ast.stmt] = []
    for node in body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            if not _is_member(node):
                return {}
            assigned.append(node)
            continue
        named = dict(_bound(node))
        if not named or named.keys() & defined.keys():
            return {}
        defined |= named
    classes = [name for name, node in defined.items() if isinstance(node, ast.ClassDef)]
    result = {}
    for name in classes:
        used = _reached([name, "annotations", *_names(assigned)], defined)
        parts = [node for part, node in defined.items() if part in used]
        result[name] = digest(ast.Module([*assigned, *sorted(parts, key=ast.dump)], []))
    return result


def _bound(node: ast.stmt) -> Iterator[tuple[str, ast.stmt]]:
    """Yields (name, what defines it) of a statement; nothing for one that may do more than define."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield (alias.asname or alias.name).partition(".")[0], ast.Import([alias])
    elif isinstance(node, ast.ImportFrom):
        if all(alias.name != "*" for alias in node.names):
            for alias in node.names:
                yield alias.asname or alias.name, ast.ImportFrom(node.module, [alias], node.level)
    elif (isinstance(node, ast.FunctionDef) and not node.decorator_list) or (
        isinstance(node, ast.ClassDef)
        and not node.decorator_list
        and not node.keywords
        and all(map(_is_member, node.body))
    ):
        yield node.name, node


def _is_member(node: ast.stmt) -> bool:
    """Returns whether a statement of a class (or an assignment of a module) does no more than name something:
    a field, a method, a docstring.
    """
    if isinstance(node, ast.Assign):
        return all(isinstance(target, ast.Name) for target in node.targets)
    if isinstance(node, ast.AnnAssign):
        return isinstance(node.target, ast.Name)
    return isinstance(node, (ast.FunctionDef, ast.Pass)) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def _reached(names: list[str], defined: Mapping[str, ast.stmt]) -> set[str]:
    reached: set[str] = set()
    while names:
        name = names.pop()
        if name in defined and name not in reached:
            reached.add(name)
            names.extend(_names([defined[name]]))
    return reached


def _names(nodes: Sequence[ast.stmt]) -> Iterator[str]:
    """Yields the names that definitions use; words of strings as well, since an annotation may be one."""
    for node in nodes:
        for part in ast.walk(node):
            if isinstance(part, ast.Name):
                yield part.id
            elif isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield from _WORD.findall(part.value)


def imported(node: ast.ImportFrom, base: str) -> list[str]:
    """Returns the dotted names that `from base import …` takes; of an options module its records alone."""
    names = [f"{base}.{alias.name}" for alias in node.names]
    return names if is_options(base) and f"{base}.*" not in names else [base, *names]
