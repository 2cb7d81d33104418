"""Extracts tests from Python source: the assertions of a `check(candidate)` function, and the examples of a
prompt's docstring. The source is parsed, never executed.
"""

from __future__ import annotations

import ast
import builtins
import doctest
import sys
from typing import Any

from pipelines.corpora.raw.columns import BadRow

CANDIDATE = "candidate"


def parse(source: str, name: str) -> ast.Module:
    """Parses `source`. Raises BadRow, naming the source by `name`, where it is no Python."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BadRow(f"{name} is no Python") from error


def split_check(test: str) -> tuple[str, list[dict[str, Any]]]:
    """Returns (setup, tests): one test per asserting statement of `check`, preceded by the statements before
    it that do not assert. Raises BadRow where there is none.
    """
    tree = parse(test, "test")
    checks = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "check"]
    if len(checks) != 1 or [argument.arg for argument in checks[0].args.args] != [CANDIDATE]:
        raise BadRow("test has no check(candidate)")
    setup = [node for node in tree.body if node is not checks[0] and not _is_metadata(node)]
    preceding: list[ast.stmt] = []
    tests = []
    for statement in checks[0].body:
        asserted = [node.test for node in ast.walk(statement) if isinstance(node, ast.Assert)]
        if not asserted:
            preceding.append(statement)
        elif not all(isinstance(node, ast.Constant) for node in asserted):  # `assert True` is for people
            tests.append({"code": _text([*preceding, statement])})
    if not tests:
        raise BadRow("test asserts nothing")
    return _text(setup), tests


def helpers(prompt: ast.Module, fn_name: str) -> str:
    """Returns the source of the prompt without the function `fn_name`: imports and helpers, which
    tests use.
    """
    return _text(
        [node for node in prompt.body if not (isinstance(node, ast.FunctionDef) and node.name == fn_name)]
    )


def missing_imports(setup: str, tests: list[dict[str, Any]]) -> str:
    """Returns imports of the standard modules that setup and tests use without importing them: MBPP's tests
    rely on the solution's imports.
    """
    trees = [ast.parse(setup), *(ast.parse(test["code"]) for test in tests)]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    used = {
        node.value.id
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {
        (name.asname or name.name).split(".")[0]
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    return "".join(
        f"import {name}\n" for name in sorted((used - bound - set(dir(builtins))) & sys.stdlib_module_names)
    )


def examples(prompt: ast.Module, fn_name: str) -> list[dict[str, Any]]:
    """Returns the `>>>` examples of the function's docstring whose result is a literal, as assertions about
    `candidate`.
    """
    functions = [node for node in prompt.body if isinstance(node, ast.FunctionDef) and node.name == fn_name]
    docstring = ast.get_docstring(functions[-1]) if functions else None
    try:
        parsed = doctest.DocTestParser().get_examples(docstring or "")
    except ValueError:  # an example that is not indented as doctest has it
        return []
    tests = []
    for example in parsed:
        try:
            call, want = (
                ast.parse(example.source.strip(), mode="eval").body,
                ast.parse(example.want.strip(), mode="eval").body,
            )
            ast.literal_eval(want)
        except (SyntaxError, ValueError):
            continue
        names = [node for node in ast.walk(call) if isinstance(node, ast.Name) and node.id == fn_name]
        for name in names:
            name.id = CANDIDATE
        if names:
            tests.append({"code": _text([ast.Assert(ast.Compare(call, [ast.Eq()], [want]))])})
    return tests


def _is_metadata(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and all(
        isinstance(name, ast.Name) and name.id == "METADATA" for name in node.targets
    )


def _text(body: list[ast.stmt]) -> str:
    return ast.unparse(ast.fix_missing_locations(ast.Module(body, [])))
