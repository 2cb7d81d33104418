"""The facts about one module's source text that the code digest needs: what runs, what it imports, which
files and modules it names.
"""

from __future__ import annotations

import ast
import hashlib
import re
from pathlib import Path
from typing import Any

from flows.graph import option_records
from tasks.code_files import is_options

# Who uses one of these may read docstrings: they are part of what its stages compute then, as prompts are.
READS_DOCSTRINGS = frozenset(
    {
        "__doc__",
        "getdoc",
        "get_json_schema",
        "json_schema",
        "model_json_schema",
        "pydoc",
        "doctest",
        "docstring_parser",
        "help",
    }
)
READS_SOURCE = frozenset(
    {"getsource", "getsourcelines", "getcomments", "findsource", "linecache", "tokenize"}
)
_MODULE = re.compile(r"\b(?:tasks|pipelines)(?:\.\w+)+")
_WORD = re.compile(r"\S{1,120}|[^\n]{1,110}\.\w{1,10}")


class _WithoutDocstrings(ast.NodeTransformer):
    def _strip(self, node: Any) -> Any:
        self.generic_visit(node)
        if _docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return node

    visit_Module = visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _strip


def _docstring(node: Any) -> ast.Constant | None:
    first = node.body[0] if node.body else None
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        return first.value
    return None


def _digest_of(tree: ast.AST) -> str:
    return digest(ast.dump(tree, annotate_fields=False).encode())


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def read(path: Path, module: str, is_package: bool) -> dict[str, Any]:
    """Returns {"digest", "with_docstrings", "bytes", "records", "imports", "words", "reads"} of a source
    file; of a compiled one only its bytes.

    `records` are the first two digests of each record of an options module. `imports` are absolute dotted
    names, for `from a import b` both `a` and `a.b`; a string that holds the dotted name of a module of ours
    counts as well (`runpy`, `python -m`, `import_module`). `words` are the strings that may name a file
    beside the module. `reads` is "docstrings" or "source" where the module may read these, else "".
    """
    data = path.read_bytes()
    if path.suffix != ".py":
        return {
            **dict.fromkeys(("digest", "with_docstrings", "bytes"), digest(data)),
            "records": {},
            "imports": [],
            "words": [],
            "reads": "",
        }
    tree = ast.parse(data, str(path))
    imports, words, names, docstrings = set[str](), set[str](), set[str](), set[int]()
    for node in ast.walk(tree):  # a docstring is met after the node that it belongs to
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstrings.add(id(_docstring(node)))
        if isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names)
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, module, is_package)
            imports.update(option_records.imported(node, base))
            names.update((base, *(alias.name for alias in node.names)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            imports.update(_MODULE.findall(node.value))
            if _WORD.fullmatch(node.value):
                words.add(node.value)
        elif isinstance(node, ast.Call) and "import_module" in (
            getattr(node.func, "attr", ""),
            getattr(node.func, "id", ""),
        ):
            imports.update(_relative(node, module, is_package))
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.Name):
            names.add(node.id)
    reads = "source" if names & READS_SOURCE else "docstrings" if (names | words) & READS_DOCSTRINGS else ""
    with_docstrings, records = _digest_of(tree), {}
    if is_options(module):
        records = {"with_docstrings": option_records.records(tree, _digest_of)}
    tree = _WithoutDocstrings().visit(tree)
    if is_options(module):
        records["digest"] = option_records.records(tree, _digest_of)
    return {
        "digest": _digest_of(tree), "with_docstrings": with_docstrings, "bytes": digest(data),
        "records": records, "imports": sorted(imports), "words": sorted(words), "reads": reads,
    }  # fmt: skip


def _base(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    """Returns the absolute name of the module that `from … import` imports from."""
    return _absolute(node.module or "", node.level, module, is_package) if node.level else node.module or ""


def _relative(node: ast.Call, module: str, is_package: bool) -> list[str]:
    """Returns the module that `import_module(".name", …)` names; absolute names are found as strings."""
    texts = [
        arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
    ]
    return [
        _absolute(text.lstrip("."), len(text) - len(text.lstrip(".")), module, is_package)
        for text in texts
        if text.startswith(".")
    ]


def _absolute(name: str, level: int, module: str, is_package: bool) -> str:
    parents = module.split(".") if is_package else module.split(".")[:-1]
    parents = parents[: len(parents) - (level - 1)]
    return ".".join([*parents, *([name] if name else [])])
