"""What became of a program: a status for each test, and the line that says why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Of one test. Only SANDBOX is no judgement: the machine or the test failed, not the program."""

    PASS = "pass"
    WRONG = "wrong"
    RUNTIME = "runtime_error"
    TIMEOUT = "time_out"
    COMPILE = "compile_error"
    SANDBOX = "sandbox_error"
    NOT_RUN = "not_run"  # an earlier test failed, or the program had used up its total time


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test's status, and one line for people."""

    status: Status
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """One program on all its tests, in their order."""

    outcomes: tuple[Outcome, ...]

    @property
    def statuses(self) -> tuple[Status, ...]:
        return tuple(outcome.status for outcome in self.outcomes)

    @property
    def passed(self) -> bool:
        """All tests passed, and there was one."""
        return bool(self.outcomes) and all(outcome.status == Status.PASS for outcome in self.outcomes)

    @property
    def failed_to_judge(self) -> bool:
        """No judgement: a test could not be run, and none that could be has failed."""
        return Status.SANDBOX in self.statuses and set(self.statuses) <= {
            Status.PASS,
            Status.SANDBOX,
            Status.NOT_RUN,
        }

    @property
    def reason(self) -> str:
        """Of the first test that did not pass; empty when all did."""
        for number, outcome in enumerate(self.outcomes, 1):
            if outcome.status != Status.PASS:
                return f"test {number} of {len(self.outcomes)}: {outcome.status}: {outcome.reason}"
        return ""
