"""Runs all tests of a program: a new sandbox for every program, and one for the tests' code that
is reused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.rewards.code.code_tests_params import SandboxLimits
from pipelines.rewards.sandbox.execution import GRACE_SECONDS, FunctionTest, run_program
from pipelines.rewards.sandbox.launcher import Launcher
from pipelines.rewards.sandbox.output import same_output
from pipelines.rewards.sandbox.process import Sandbox, SandboxFailed, TestFailed
from pipelines.rewards.sandbox.resource_watch import ResourceWatch, Stopped
from pipelines.rewards.sandbox.status import Status, TestOutcome, TestResults

LONGEST_SOURCE = 2**20  # characters
CAPITAL = re.compile(r"\b[A-Z]\w*")
IMPORT = re.compile(r"^\s*(?:from|import)\s+([a-z_]+)", re.MULTILINE)
PRELOADED = frozenset(
    {"abc", "array", "bisect", "cmath", "collections", "copy", "dataclasses", "datetime", "decimal", "enum",
     "fractions", "functools",
     "heapq", "io", "itertools", "json", "math", "operator", "queue", "random", "re", "statistics", "string",
     "struct", "textwrap", "time",
     "typing", "numpy"}
)  # fmt: skip


@dataclass(frozen=True)
class Program:
    """A program and its tests. A test is `{input, output}` of a script, or of functions `{args, output}` (a
    call of `fn_name`) or `{code}` (assertions; names that neither it nor `setup` defines are the program's,
    `candidate` is `fn_name`).
    """

    source: str
    tests: Sequence[Mapping[str, Any]]
    fn_name: str | None = None
    setup: str = ""
    known: str = ""  # a known solution or starter code, which tells classes from functions

    def classes(self) -> set[str]:
        """Returns the names in the tests that are classes: according to `known`, else by their capital
        letter.
        """
        known = self.known
        capital = {name for test in self.tests if "code" in test for name in CAPITAL.findall(test["code"])}
        defined = set(re.findall(r"^class[ \t]+(\w+)", known, re.MULTILINE))
        return defined | (capital - set(re.findall(r"^(?:async[ \t]+)?def[ \t]+(\w+)", known, re.MULTILINE)))

    def job(self) -> dict[str, Any]:
        return {"source": self.source, "preload": sorted(PRELOADED & set(IMPORT.findall(self.source)))}


class Runner:
    """Runs programs one after the other; not thread-safe. Must be closed."""

    def __init__(self, launcher: Launcher, limits: SandboxLimits, stop_early: bool = True) -> None:
        self._launcher, self._limits, self._stop_early = launcher, limits, stop_early
        self._program: Sandbox | None = None
        self._judge: Sandbox | None = None

    def run(self, program: Program) -> TestResults:
        """Returns one outcome per test, in order. A test that cannot be run is Status.SANDBOX and does not
        stop the others.
        """
        if len(program.source) > LONGEST_SOURCE:
            return TestResults(
                tuple(
                    TestOutcome(Status.COMPILE, f"more than {LONGEST_SOURCE} characters")
                    for _ in program.tests
                )
            )
        left = self._limits.total_seconds
        job, outcomes, stopped = program.job(), list[TestOutcome](), False
        try:
            for test in program.tests:
                if stopped:
                    outcomes.append(TestOutcome(Status.NOT_RUN))
                    continue
                if left <= 0:
                    outcome = TestOutcome(
                        Status.TIMEOUT, f"more than {self._limits.total_seconds:g} s for all tests"
                    )
                    stopped = True
                else:
                    outcome, charged = self._run_test(program, job, test, left)
                    left -= charged
                outcomes.append(outcome)
                if outcome.status == Status.COMPILE and len(outcomes) == 1:
                    return TestResults((outcome,) * len(program.tests))
                stopped |= self._stop_early and outcome.status not in (Status.PASS, Status.SANDBOX)
        finally:
            self._drop_program()
        return TestResults(tuple(outcomes))

    def _run_test(
        self, program: Program, job: Mapping[str, Any], test: Mapping[str, Any], left: float
    ) -> tuple[TestOutcome, float]:
        """Returns (outcome, seconds charged to the program). Where a sandbox fails, the test is run once more
        in a new one.
        """
        for attempt in (1, 2):
            try:
                self._program = self._program or Sandbox(self._launcher, self._limits)
                watch = ResourceWatch(self._program, self._limits, left)
                try:
                    outcome = (
                        self._stdio(job, test, watch)
                        if "input" in test
                        else self._functions(program, job, test, watch)
                    )
                except Stopped as stopped:
                    outcome = stopped.outcome
            except SandboxFailed as fault:
                self.close()
                if attempt == 2 or isinstance(fault, TestFailed):
                    return TestOutcome(Status.SANDBOX, str(fault)), 0.0
            else:
                if outcome.status == Status.TIMEOUT or not self._program.settle(GRACE_SECONDS):
                    self._drop_program()
                return outcome, watch.charged()
        raise AssertionError("unreachable")

    def _stdio(self, job: Mapping[str, Any], test: Mapping[str, Any], watch: ResourceWatch) -> TestOutcome:
        assert self._program is not None
        outcome, output = run_program(
            self._program, job, test["input"].encode("utf-8", "surrogatepass"), self._limits, watch
        )
        if outcome.status != Status.PASS or same_output(output, test["output"]):
            return outcome
        return TestOutcome(Status.WRONG, f"printed {output[:80]!r}")

    def _functions(
        self, program: Program, job: Mapping[str, Any], test: Mapping[str, Any], watch: ResourceWatch
    ) -> TestOutcome:
        assert self._program is not None
        if self._judge is not None and not self._judge.settle(GRACE_SECONDS):
            self._judge.kill()
            self._judge = None
        self._judge = self._judge or Sandbox(self._launcher, self._limits, with_driver=True)
        how: dict[str, Any] = {"name": program.fn_name}
        if "code" in test:
            how |= {
                "role": "assert",
                "setup": program.setup,
                "code": test["code"],
                "names": ["candidate"] if program.fn_name else [],
                "classes": sorted(program.classes()),
                "preload": sorted(PRELOADED & set(IMPORT.findall(test["code"]))),
            }
        else:
            how |= {"role": "call", "args": test["args"], "expected": test["output"]}
        return FunctionTest(self._program, self._judge, self._limits, watch).run(job, how)

    def _drop_program(self) -> None:
        if self._program is not None:
            self._program.kill()
            self._program = None

    def close(self) -> None:
        """Kills both sandboxes; the next run starts new ones."""
        self._drop_program()
        if self._judge is not None:
            self._judge.kill()
            self._judge = None
