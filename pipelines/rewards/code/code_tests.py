"""The code reward: a program is right if it passes every test of its problem (dpo_vs_ppo.md 1.6, 3.2).

The reference is JSON: `program_scoring.read_answer` says which. `CodeTests` there scores many programs at a
time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from pipelines.rewards.code.code_judge import CodeJudge
from pipelines.rewards.code.code_tests_params import CodeTestsParams
from pipelines.rewards.code.program_scoring import CodeTests, read_answer
from pipelines.rewards.judge import Judge, JudgeContext
from pipelines.rewards.scoring import limit_errors
from pipelines.rewards.verdict import Verdict


def make_judge(options: CodeTestsParams, context: JudgeContext) -> Judge:
    """Returns a judge of programs; `context` is not used. Raises SandboxUnavailable where no sandbox can be
    started and `options` do not allow running without one.
    """
    return CodeJudge(options)


def judge_programs(
    params: CodeTestsParams,
    answers: Sequence[str],
    responses: Sequence[Sequence[str]],
    max_error_share: float,
) -> list[list[Verdict]]:
    """Returns the verdicts on every problem's responses, in order; all responses count as finished. Raises
    CheckerFailed where more than `max_error_share` of the verdicts are errors.
    """
    with CodeTests(params) as judge:
        judged = judge.judge_programs(answers, responses)
    limit_errors([sample.verdict for own in judged for sample in own], max_error_share)
    return [[sample.verdict for sample in own] for own in judged]


@cache
def _default() -> CodeTests:
    return CodeTests(workers=1)


def check(text: str, answer: str, finished: bool) -> Verdict:
    """Returns the verdict on one response, with the default parameters."""
    return _default().judge([(text, answer, finished)])[0].verdict


def respond(answer: str) -> str:
    """Returns the reference solution, which the preflight scores."""
    return str(read_answer(answer)["solution"])
