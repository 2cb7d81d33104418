"""What a sampled set of preferences begins with, every round of iterative DPO included: sample a policy and
judge all responses (dpo_vs_ppo.md 4.2.1, 4.2.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from pipelines.corpora.preferences.pairing import Judged
from pipelines.corpora.records.record import Record
from pipelines.evaluation.answers import Answer, answer_problems
from pipelines.models.tokenizer import Tokens
from pipelines.rewards.judge import Judge
from pipelines.rollouts.rollout_params import SamplingParams


def sample_and_judge(
    engine: Any,
    tokens: Tokens,
    judge: Judge,
    problems: Sequence[Record],
    n: int,
    sampling: SamplingParams,
    seed: int,
    iteration: int,
    max_error_share: float,
) -> list[list[Judged]]:
    """`n` judged responses to each problem, problem by problem. `engine` is a rollout engine over the policy.

    A response depends on seed, iteration, problem and sample alone, so that problems may come in any
    portions. Raises CheckerFailed where more than `max_error_share` of these verdicts are errors.
    """
    answers = answer_problems(engine, tokens, judge, problems, n, sampling, seed, max_error_share, iteration)
    judged = [judged_answer(answer) for answer in answers]
    return [judged[start : start + n] for start in range(0, len(judged), n)]


def judged_answer(answer: Answer) -> Judged:
    """Returns an answer as pairing reads it. An error of the judge counts as neither passed nor failed, and
    its score is NaN, which no pairing uses.
    """
    completion, verdict = answer.completion, answer.verdict
    failed = verdict.outcome == "error"
    return Judged(
        text=answer.text,
        ids=tuple(completion.ids),
        score=math.nan if failed else verdict.score,
        passed=None if failed else answer.right,
        finished=completion.finish.complete,
    )


def figures(judged: Sequence[Sequence[Judged]]) -> dict[str, float]:
    """Of all responses of a round: means of score and of `passed` over those judged, share finished, tokens,
    and errors of the judge.
    """
    every = [answer for own in judged for answer in own]
    scored = [answer for answer in every if answer.passed is not None]
    return {
        "reward": fmean(answer.score for answer in scored) if scored else 0.0,
        "accuracy": fmean(bool(answer.passed) for answer in scored) if scored else 0.0,
        "finished": fmean(answer.finished for answer in every) if every else 0.0,
        "length": fmean(len(answer.ids) for answer in every) if every else 0.0,
        "errors": len(every) - len(scored),
    }
