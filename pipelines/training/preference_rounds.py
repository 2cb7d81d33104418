"""A round of preferences: sample a policy, judge all responses, pair them (dpo_vs_ppo.md 4.2.1 to 4.2.3).

Sampled sets of preferences and every round of iterative DPO begin so. The pairs hold the sampled ids, not
text that was encoded again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pipelines.corpora.pair import Pair
from pipelines.corpora.pairing import DATASET, Judged, make_pairs
from pipelines.corpora.pairing_params import PairingParams
from pipelines.corpora.prompt_split import group_key
from pipelines.corpora.record import Record
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
    """What pairing reads of an answer. An error of the judge is neither passed nor failed, and its score is
    NaN, which no pairing uses.
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


@dataclass(frozen=True)
class Round:
    """`counts`: prompts, samples, pairs, prompts_with_pairs; then what was left out and why: see
    `pairing.make_pairs`; too_long: pairs that exceed the token limit; equal_tokens: pairs whose answers do
    not differ as ids.
    """

    pairs: list[Pair]
    counts: Counter[str]


def round_pairs(
    problems: Sequence[Record],
    judged: Sequence[Sequence[Judged]],
    how: PairingParams,
    seed: int,
    source: str,
    max_tokens: int,
) -> Round:
    """Pairs of the judged responses, in the order of the problems; `source` names the round. A longer answer
    with its prompt than `max_tokens` takes its pair out: the cut answer would not be the one that was judged.
    """
    counts, kept = Counter[str](prompts=0, samples=0, pairs=0, prompts_with_pairs=0), list[Pair]()
    for record, own in zip(problems, judged, strict=True):
        places, left_out = make_pairs(record.id, own, how, seed, record.response)
        counts += left_out
        pairs = list(_fitting(record, own, places, source, max_tokens, counts))
        kept += pairs
        counts.update(prompts=1, samples=len(own), pairs=len(pairs), prompts_with_pairs=int(bool(pairs)))
    return Round(kept, counts)


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


def _fitting(
    record: Record,
    judged: Sequence[Judged],
    places: Sequence[tuple[int, int]],
    source: str,
    max_tokens: int,
    counts: Counter[str],
) -> Iterator[Pair]:
    for number, (winner, loser) in enumerate(places):
        chosen, text = (
            (record.response_ids, record.response)
            if winner == DATASET
            else (judged[winner].ids, judged[winner].text)
        )
        assert chosen is not None  # make_pairs takes the data set's only where there is one
        assert text is not None
        rejected = judged[loser].ids
        if tuple(chosen) == rejected:
            counts["equal_tokens"] += 1
        elif len(record.prompt_ids) + max(len(chosen), len(rejected)) > max_tokens:
            counts["too_long"] += 1
        else:
            yield Pair(
                id=f"{source}:{record.id}:{number}",
                prompt=record.prompt,
                chosen=text,
                rejected=judged[loser].text,
                source=source,
                prompt_ids=list(record.prompt_ids),
                chosen_ids=list(chosen),
                rejected_ids=list(rejected),
                group=group_key(record.prompt),
                meta={"from_dataset": True}
                if winner == DATASET
                else {"scores": [judged[winner].score, judged[loser].score]},
            )
