"""The results of a program: a status per test, with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The status of a test. SANDBOX: the machine or the test failed, not the program."""

    PASS = "pass"
    WRONG = "wrong"
    RUNTIME = "runtime_error"
    TIMEOUT = "time_out"
    COMPILE = "compile_error"
    SANDBOX = "sandbox_error"
    NOT_RUN = "not_run"  # an earlier test failed, or the program had used up its total time


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """The status of one test, with one line of text."""

    status: Status
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TestResults:
    """The outcomes of a program's tests, in order."""

    outcomes: tuple[TestOutcome, ...]

    @property
    def statuses(self) -> tuple[Status, ...]:
        return tuple(outcome.status for outcome in self.outcomes)

    @property
    def passed(self) -> bool:
        """Whether all tests passed, and there is at least one."""
        return bool(self.outcomes) and all(outcome.status == Status.PASS for outcome in self.outcomes)

    @property
    def failed_to_judge(self) -> bool:
        """Whether there is no judgement: a test could not be run, and none of the others failed."""
        return Status.SANDBOX in self.statuses and set(self.statuses) <= {
            Status.PASS,
            Status.SANDBOX,
            Status.NOT_RUN,
        }

    @property
    def reason(self) -> str:
        """The reason of the first test that did not pass; "" where all did."""
        for number, outcome in enumerate(self.outcomes, 1):
            if outcome.status != Status.PASS:
                return f"test {number} of {len(self.outcomes)}: {outcome.status}: {outcome.reason}"
        return ""
