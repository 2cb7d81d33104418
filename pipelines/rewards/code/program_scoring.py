"""Programs run on the tests of their problems, many at a time (dpo_vs_ppo.md 1.6, 3.2).

The reference of a problem is JSON, as `pipelines.corpora.code` writes it: `{fn_name, setup, starter,
public_tests, hidden_tests, solution}`, all but the tests optional.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from pipelines.rewards.code.code_tests_params import CodeTestsParams
from pipelines.rewards.code.program_text import extract_program
from pipelines.rewards.sandbox.capacity import workers_that_fit
from pipelines.rewards.sandbox.probe import find_launcher
from pipelines.rewards.sandbox.runner import Program, Runner
from pipelines.rewards.sandbox.status import Status, TestOutcome, TestResults
from pipelines.rewards.verdict import Verdict, error

NAME = re.compile(r"\b[A-Za-z_]\w*")
ALL_PASS, NOT_ALL = 10.0, 0.0
# worst first (CodeRL)
SHAPED = ((Status.COMPILE, -1.0), (Status.RUNTIME, -0.6), (Status.TIMEOUT, -0.6), (Status.WRONG, -0.3))
CUT = TestResults((TestOutcome(Status.COMPILE, "cut off before the end"),))
FIELDS = ("fn_name", "setup", "starter", "public_tests", "hidden_tests", "solution")


@dataclass(frozen=True)
class Sample:
    """The program in a response, its test results and its verdict."""

    program: str
    result: TestResults
    verdict: Verdict

    @property
    def passed(self) -> bool:
        return self.verdict.outcome == "right"


def reward(result: TestResults, kind: Literal["all_or_nothing", "shaped"] = "all_or_nothing") -> float:
    """Returns 10 if all tests passed, else 0, also without tests. Shaped: 1 if all passed, else the reward of
    the worst status (SHAPED), 0 without one.
    """
    if kind == "all_or_nothing":
        return ALL_PASS if result.passed else NOT_ALL
    if result.passed:
        return 1.0
    return next((value for status, value in SHAPED if status in result.statuses), 0.0)


def verdict(result: TestResults, kind: Literal["all_or_nothing", "shaped"] = "all_or_nothing") -> Verdict:
    """Returns the verdict on a result: an error where there are no tests or the sandbox failed."""
    if not result.outcomes:
        return error("the problem has no tests")
    if result.failed_to_judge:
        return error(result.reason)
    return Verdict("right" if result.passed else "wrong", reward(result, kind), result.reason)


class CodeTests:
    """Scores programs, `workers` at a time: more than there are cores, since half of a sandbox's start is
    waiting for the kernel. A context manager, which closes its sandboxes on exit.

    Raises SandboxUnavailable where no sandbox can be started and the parameters do not allow running without
    one.
    """

    def __init__(
        self, params: CodeTestsParams | None = None, workers: int = 2 * (os.cpu_count() or 1)
    ) -> None:
        self.params = params or CodeTestsParams()
        self._launcher = find_launcher(self.params.allow_unsandboxed, self.params.modules)
        self._pool = ThreadPoolExecutor(workers_that_fit(workers, self.params.limits), "code-tests")
        self._local = threading.local()
        self._runners: list[Runner] = []

    def run_many(self, programs: Sequence[Program]) -> list[TestResults]:
        """Returns one result per program, in order, whatever the number of workers."""
        return list(self._pool.map(self._run, programs))

    def judge(self, responses: Sequence[tuple[str, str, bool]]) -> list[Sample]:
        """Returns one sample per (text, reference, finished), in order. A truncated response is wrong without
        being run; shaped, it gets the reward of a compile error, so that it does not pay never to stop.
        """
        samples: list[Sample | None] = [None] * len(responses)
        programs: dict[int, Program] = {}
        for place, (text, answer, finished) in enumerate(responses):
            try:
                problem = read_answer(answer)
            except ValueError as fault:
                samples[place] = Sample("", TestResults(()), error(str(fault)))
                continue
            program = self._program(text, problem)
            if finished or not program.tests:
                programs[place] = program
            else:
                score = reward(CUT, self.params.reward)
                samples[place] = Sample(
                    program.source, TestResults(()), Verdict("wrong", score, "cut off before the end")
                )
        for place, result in zip(programs, self.run_many(list(programs.values())), strict=True):
            samples[place] = Sample(programs[place].source, result, verdict(result, self.params.reward))
        return [sample for sample in samples if sample is not None]

    def judge_programs(
        self, answers: Sequence[str], responses: Sequence[Sequence[str]]
    ) -> list[list[Sample]]:
        """Returns the samples of every problem's responses, in order; all count as finished. Preference pairs
        are built from them (dpo_vs_ppo.md 1.4).
        """
        flat = [
            (text, answer, True) for answer, texts in zip(answers, responses, strict=True) for text in texts
        ]
        judged = iter(self.judge(flat))
        return [[next(judged) for _ in texts] for texts in responses]

    def close(self) -> None:
        self._pool.shutdown()
        for runner in self._runners:
            runner.close()

    def __enter__(self) -> CodeTests:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _program(self, text: str, problem: Mapping[str, Any]) -> Program:
        wanted = (
            ("public_tests", "hidden_tests")
            if self.params.tests == "all"
            else (f"{self.params.tests}_tests",)
        )
        # a public test may be hidden too
        tests = list({json.dumps(test): test for name in wanted for test in problem[name]}.values())
        needs = {name for test in tests for name in NAME.findall(test.get("code", ""))}
        reads = any(test.get("input", "").strip() for test in tests)
        source = extract_program(text, problem["starter"], problem["fn_name"], needs, reads)
        return Program(
            source,
            tests,
            problem["fn_name"],
            problem["setup"],
            f"{problem['starter']}\n{problem['solution']}",
        )

    def _run(self, program: Program) -> TestResults:
        runner = getattr(self._local, "runner", None)
        if runner is None:
            stop_early = self.params.stop_early and self.params.reward != "shaped"
            runner = self._local.runner = Runner(self._launcher, self.params.limits, stop_early)
            self._runners.append(runner)
        return runner.run(program)


def read_answer(answer: str) -> dict[str, Any]:
    """Returns the fields of a reference, with defaults for those it leaves out. Raises ValueError where it is
    not such JSON.
    """
    try:
        given = json.loads(answer)
    except (json.JSONDecodeError, RecursionError) as fault:
        raise ValueError(f"the reference is no JSON of a code problem: {fault}") from fault
    if not isinstance(given, dict) or not set(given) <= set(FIELDS):
        raise ValueError(f"the reference must be an object with {', '.join(FIELDS)}")
    problem = {
        "fn_name": None,
        "setup": "",
        "starter": "",
        "public_tests": [],
        "hidden_tests": [],
        "solution": "",
        **given,
    }
    for name in ("public_tests", "hidden_tests"):
        if not isinstance(problem[name], list) or not all(_is_test(test) for test in problem[name]):
            raise ValueError(f"{name} must be a list of {{input, output}}, {{args, output}} or {{code}}")
    if problem["fn_name"] is None and any(
        "args" in test for name in ("public_tests", "hidden_tests") for test in problem[name]
    ):
        raise ValueError("tests with args need fn_name")
    return problem


def _is_test(test: object) -> bool:
    if not isinstance(test, dict):
        return False
    if set(test) == {"input", "output"}:
        return isinstance(test["input"], str) and isinstance(test["output"], str)
    return (set(test) == {"args", "output"} and isinstance(test["args"], list)) or (
        set(test) == {"code"} and isinstance(test["code"], str)
    )
