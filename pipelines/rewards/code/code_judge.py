"""Programs judged by the tests of their problems, behind the judge's seam; and what an evaluation wants to
know of each of them.
"""

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

PREFLIGHT_PROBLEMS = 16  # problems of a source that the preflight runs
MAX_FAILING_SHARE = 0.1  # share of them whose own solution may fail: published sets have such rows


@dataclass(frozen=True)
class ProgramReport:
    """A program that was run on the public and on the hidden tests. `status` is that of the first hidden test
    that did not pass, `pass` without one, `not_run` of a response that was cut off; `parses`: the program is
    Python; `public`: it passes them, or there are none; `hidden` None: an error, not judged.
    """

    status: str
    parses: bool
    public: bool
    hidden: bool | None


class CodeJudge:
    """Runs several programs at a time. A record's tests are in its `meta` under `code`, in the form of
    `program_scoring.FIELDS`; its answer is that JSON where `meta` has none.

    Raises SandboxUnavailable where no sandbox can be made and `options` do not allow to go without.
    """

    model, rule = None, True
    deterministic = False

    def __init__(self, options: CodeTestsParams) -> None:
        self._options = options
        self._tests = CodeTests(options)
        weakref.finalize(self, self._tests.close)

    def judge(self, responses: Sequence[Response]) -> list[Verdict]:
        """A cut response is wrong; a program that the sandbox fails on is an error."""
        return [sample.verdict for sample in self._tests.judge(_inputs(responses))]

    def preflight(self, records: Sequence[Question]) -> None:
        """Solutions must pass, up to TOLERATED of them, and the empty program must not. Raises CheckerFailed
        naming problem and reason.
        """
        by_source: dict[str, list[Question]] = {}
        for record in records:
            by_source.setdefault(record.source, []).append(record)
        for source, problems in by_source.items():
            self._check_imports(source, problems)
            shown = problems[:: max(1, len(problems) // PREFLIGHT_PROBLEMS)][:PREFLIGHT_PROBLEMS]
            self._preflight(source, shown)

    def examine(self, responses: Sequence[Response]) -> list[ProgramReport]:
        """Every response on public and on hidden tests apart, whatever `tests` says; with no public tests it
        survives them.
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
        """Of all problems: tests that cannot run would make every program wrong, or an error, row by row."""
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
    """What `code_tests` judges against."""
    problem = record.meta.get("code")
    return record.answer if problem is None else json.dumps(problem, ensure_ascii=False)


def _inputs(responses: Sequence[Response]) -> list[tuple[str, str, bool]]:
    references = {id(response.record): reference(response.record) for response in responses}
    return [(response.text, references[id(response.record)], response.finished) for response in responses]


def _status(statuses: Sequence[Status]) -> str:
    """The first that is neither `pass` nor left undone."""
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
