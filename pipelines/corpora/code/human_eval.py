"""HumanEval (Chen et al. 2021): a signature with a docstring, helpers before it in places, a body, and
`check(candidate)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.corpora.code.assertions import examples, helpers, parse, split_check
from pipelines.corpora.code.code_problem import CodeProblem
from pipelines.corpora.raw.columns import text


def convert(row: Mapping[str, Any], source: str) -> CodeProblem:
    """Converts a row `{task_id, prompt, entry_point, canonical_solution, test}`; a completion continues the
    prompt. Raises BadRow.
    """
    prompt, fn_name = text(row, "prompt"), text(row, "entry_point").strip()
    tree = parse(prompt, "prompt")
    setup, tests = split_check(text(row, "test"))
    return CodeProblem(
        id=text(row, "task_id"),
        prompt=prompt,
        solutions=[prompt + text(row, "canonical_solution")],
        public_tests=examples(tree, fn_name),
        hidden_tests=tests,
        difficulty=source,
        io_mode="assert",
        source=source,
        fn_name=fn_name,
        starter_code=prompt,
        setup="\n".join(part for part in (helpers(tree, fn_name), setup) if part),
    )
