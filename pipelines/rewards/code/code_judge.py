"""The judge of programs: runs them on the tests of their problems, and reports on each for evaluations."""

from __future__ import annotations

import ast
import json
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.rewards.code.code_imports import missing_modules
from pipelines.rewards.code.code_tests_params import CodeTestsParams
from pipelines.rewards.code.program_scoring import CodeTests, Sample, read_answer
from pipelines.rewards.judge import Question, Response
from pipelines.rewards.sandbox.status import Status
from pipelines.rewards.scoring import CheckerFailed
from pipelines.rewards.verdict import Verdict

PREFLIGHT_PROBLEMS = 16  # of each source
MAX_FAILING_SHARE = 0.1  # of the problems whose own solution may fail: published sets have such rows


@dataclass(frozen=True)
class ProgramReport:
    """One program on the public and the hidden tests. `status`: of the first hidden test that did not pass,
    `pass` where all did, `not_run` for a truncated response; `parses`: the program is valid Python; `public`:
    all public tests pass, or there are none; `hidden`: all hidden tests pass, None for an error verdict.
    """

    status: str
    parses: bool
    public: bool
    hidden: bool | None


class CodeJudge:
    """A judge that runs several programs at a time. A record's tests are `meta["code"]`, with the keys
    `program_scoring.FIELDS`; without it, the record's answer is that object as JSON.

    Raises SandboxUnavailable where no sandbox can be started and `options` do not allow running without one.
    """

    model, rule = None, True
    deterministic = False

    def __init__(self, options: CodeTestsParams) -> None:
        self._options = options
        self._tests = CodeTests(options)
        weakref.finalize(self, self._tests.close)

    def judge(self, responses: Sequence[Response]) -> list[Verdict]:
        """Returns one verdict per response, in order. A truncated response is wrong; a failure of the sandbox
        is an error verdict.
        """
        return [sample.verdict for sample in self._tests.judge(_inputs(responses))]

    def preflight(self, records: Sequence[Question]) -> None:
        """Raises CheckerFailed, naming problem and reason, where more than MAX_FAILING_SHARE of the known
        solutions fail their tests, the empty program passes, or tests import modules that the sandbox lacks.
        """
        by_source: dict[str, list[Question]] = {}
        for record in records:
            by_source.setdefault(record.source, []).append(record)
        for source, problems in by_source.items():
            self._check_imports(source, problems)
            shown = problems[:: max(1, len(problems) // PREFLIGHT_PROBLEMS)][:PREFLIGHT_PROBLEMS]
            self._preflight(source, shown)

    def examine(self, responses: Sequence[Response]) -> list[ProgramReport]:
        """Returns one report per response, in order: public and hidden tests separately, whatever the option
        `tests`. A problem without public tests counts as passing them.
        """
        samples_of: dict[str, list[Sample]] = {}
        for tests in ("public", "hidden"):
            with CodeTests(
                self._options.model_copy(update={"tests": tests, "reward": "all_or_nothing"})
            ) as judge:
                samples = judge.judge(_inputs(responses))
            samples_of[tests] = samples
        return [
            ProgramReport(
                _status(hidden.result.statuses),
                _parses(hidden.program),
                public.passed or not _has_public(response),
                None if hidden.verdict.outcome == "error" else hidden.passed,
            )
            for response, public, hidden in zip(
                responses, samples_of["public"], samples_of["hidden"], strict=True
            )
        ]

    def _check_imports(self, source: str, problems: Sequence[Question]) -> None:
        """Checks all problems: tests that cannot be imported would make every program wrong, or an error."""
        needed: dict[str, list[str]] = {}
        for record in problems:
            problem = read_answer(reference(record))
            tests = [
                test.get("code", "") for name in ("public_tests", "hidden_tests") for test in problem[name]
            ]
            for module in missing_modules(
                [problem["setup"], problem["starter"], problem["solution"], *tests], self._options.modules
            ):
                needed.setdefault(module, []).append(str(record.meta.get("id", record.id)))
        if needed:
            listed = "; ".join(
                f"{module} in {len(ids)} of {len(problems)} ({', '.join(ids[:3])})"
                for module, ids in sorted(needed.items())
            )
            raise CheckerFailed(
                f"problems of {source} import modules that the sandbox does not have: {listed}. It has the "
                f"standard library and `modules` of "
                f"the reward ({', '.join(self._options.modules) or 'none'}): add them there, if installed, "
                f"or exclude these problems"
            )

    def _preflight(self, source: str, shown: Sequence[Question]) -> None:
        solutions = [(str(read_answer(reference(record))["solution"]), record) for record in shown]
        known = [Response(record, (), solution, True) for solution, record in solutions if solution]
        failed = [
            f"{response.record.meta.get('id', response.record.id)} ({verdict.reason})"
            for response, verdict in zip(known, self.judge(known), strict=True)
            if verdict.outcome != "right"
        ]
        if len(failed) > MAX_FAILING_SHARE * len(known):
            raise CheckerFailed(
                f"{len(failed)} of {len(known)} solutions of {source} do not pass their own tests: "
                f"{'; '.join(failed[:3])}. Look at the "
                "limits and at `tests`, or exclude these problems"
            )
        for record, verdict in zip(
            shown, self.judge([Response(record, (), "", True) for record in shown]), strict=True
        ):
            if verdict.outcome != "wrong":
                raise CheckerFailed(
                    f"the empty program is {verdict.outcome} on {record.id} of {source} ({verdict.reason})"
                )


def reference(record: Question) -> str:
    """Returns the reference of a record as JSON."""
    problem = record.meta.get("code")
    return record.answer if problem is None else json.dumps(problem, ensure_ascii=False)


def _inputs(responses: Sequence[Response]) -> list[tuple[str, str, bool]]:
    references = {id(response.record): reference(response.record) for response in responses}
    return [(response.text, references[id(response.record)], response.finished) for response in responses]


def _status(statuses: Sequence[Status]) -> str:
    """Returns the first status other than `pass` and `not_run`."""
    if not statuses:
        return str(Status.NOT_RUN)
    return str(
        next((status for status in statuses if status not in (Status.PASS, Status.NOT_RUN)), Status.PASS)
    )


def _has_public(response: Response) -> bool:
    return bool(read_answer(reference(response.record))["public_tests"])


def _parses(program: str) -> bool:
    try:
        ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
