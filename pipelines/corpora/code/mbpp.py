"""MBPP (Austin et al. 2021) as MBXP and CodeT publish it: a signature with a docstring, a body, and
`check(candidate)`.

Docstrings of the sanitized rows are indented by four spaces and bodies by two, so solutions and responses
follow the signature without the docstring.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from pipelines.corpora.code.assertions import examples, helpers, missing_imports, parse, split_check
from pipelines.corpora.code.code_problem import CodeProblem
from pipelines.corpora.raw.columns import BadRow, text


def convert(row: Mapping[str, Any], source: str) -> CodeProblem:
    """Converts a row `{task_id, prompt, canonical_solution, entry_point, test}`. Raises BadRow, naming the
    column that cannot be used.
    """
    prompt, fn_name = text(row, "prompt"), text(row, "entry_point").strip()
    tree = parse(prompt, "prompt")
    setup, tests = split_check(text(row, "test"))
    setup = "\n".join(part for part in (helpers(tree, fn_name), setup) if part)
    starter = signature(prompt, tree, fn_name)
    return CodeProblem(
        id=text(row, "task_id"),
        prompt=prompt,
        solutions=[starter + text(row, "canonical_solution")],
        # the others are misprints: the examples are the tests
        public_tests=[test for test in examples(tree, fn_name) if test in tests],
        hidden_tests=tests,
        difficulty=source,
        io_mode="assert",
        source=source,
        fn_name=fn_name,
        starter_code=starter,
        setup=missing_imports(setup, tests) + setup,
    )


def signature(prompt: str, tree: ast.Module, fn_name: str) -> str:
    """Returns the prompt up to the end of the function's signature. Raises BadRow without the function, or
    where it has a body.
    """
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.FunctionDef) or last.name != fn_name:
        raise BadRow("prompt does not end with the signature of entry_point")
    if len(last.body) != 1 or ast.get_docstring(last) is None:
        raise BadRow("prompt has more than a docstring in its function")
    lines = prompt.splitlines(keepends=True)
    return "".join(lines[: last.body[0].lineno - 1])
