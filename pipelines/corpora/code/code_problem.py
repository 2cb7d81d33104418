"""A code problem: prompt, known solutions, public and hidden tests.

Tests are plain JSON, as `pipelines.rewards.code.program_scoring` takes them: `{input, output}` of a whole
program, `{args, output}` of the function `fn_name`, or `{code}` with assertions about `candidate`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from pipelines.corpora.records.json_lines import STRICT, Text, read_json_lines

IoMode = Literal["stdio", "call", "assert"]
TEST_FIELDS: dict[str, set[str]] = {
    "stdio": {"input", "output"},
    "call": {"args", "output"},
    "assert": {"code"},
}


@dataclass(frozen=True, config=STRICT)
class CodeProblem:
    """A code problem. `starter_code` precedes a response that does not define `fn_name`; `setup`: trusted
    code that the tests need (imports, helpers of the prompt). A problem without tests is never trained on or
    evaluated (dpo_vs_ppo.md 1.6).
    """

    id: Text
    prompt: Text
    solutions: Sequence[str]
    public_tests: Sequence[dict[str, Any]]
    hidden_tests: Sequence[dict[str, Any]]
    difficulty: str
    io_mode: IoMode
    source: Text
    fn_name: str | None = None
    starter_code: str = ""
    setup: str = ""
    incorrect_solutions: Sequence[str] = ()

    @model_validator(mode="after")
    def _tests(self) -> Self:
        if self.io_mode != "stdio" and not self.fn_name:
            raise ValueError(f"io_mode {self.io_mode} needs fn_name")
        for test in (*self.public_tests, *self.hidden_tests):
            if set(test) != TEST_FIELDS[self.io_mode]:
                raise ValueError(
                    f"a test of io_mode {self.io_mode} has {', '.join(sorted(TEST_FIELDS[self.io_mode]))}, "
                    f"not {test!r:.80}"
                )
        return self

    @property
    def has_tests(self) -> bool:
        """Returns whether the problem has a test of either kind."""
        return bool(self.public_tests or self.hidden_tests)

    def answer(self) -> str:
        """Returns the reference for the reward `code_tests` as JSON, with the first solution for the
        preflight.
        """
        value = {
            "fn_name": self.fn_name,
            "setup": self.setup,
            "starter": self.starter_code,
            "public_tests": list(self.public_tests),
            "hidden_tests": list(self.hidden_tests),
            "solution": self.solutions[0] if self.solutions else "",
        }
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


NAMES = tuple(item.name for item in fields(CodeProblem))


def read_code_problems(path: str | Path) -> list[CodeProblem]:
    """Reads all problems, in order. Raises ValueError, naming file, line and reason."""
    return read_json_lines(path, CodeProblem, "make it again")


def write_code_problems(path: str | Path, problems: Iterable[CodeProblem]) -> int:
    """Writes one compact JSON object per line (equal problems give equal bytes); returns their number."""
    count = 0
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        for problem in problems:
            stream.write(json.dumps(asdict(problem), ensure_ascii=False, separators=(",", ":")) + "\n")
            count += 1
    return count
