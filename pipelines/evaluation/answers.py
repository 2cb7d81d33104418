"""Samples and judges answers to problems; random numbers depend on seed, problem and sample only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pipelines.corpora.records.record import Record
from pipelines.models.tokenizer import Tokens
from pipelines.rewards.judge import Judge, Response
from pipelines.rewards.scoring import limit_errors
from pipelines.rewards.verdict import Verdict
from pipelines.rollouts.counter import child_key, root_key
from pipelines.rollouts.engine import RolloutEngine
from pipelines.rollouts.forest import Completion
from pipelines.rollouts.rollout_params import SamplingParams

EVALUATION = -1  # the iteration in the counter keys: no training iteration has it


class Answer(NamedTuple):
    """A judged response to a problem."""

    record: Record
    completion: Completion
    text: str
    verdict: Verdict

    @property
    def right(self) -> bool:
        return self.verdict.outcome == "right"

    @property
    def response(self) -> Response:
        """The response for another judge."""
        return response_of(self.record, self.completion, self.text)


def answer_problems(
    engine: RolloutEngine,
    tokens: Tokens,
    judge: Judge,
    problems: Sequence[Record],
    samples: int,
    sampling: SamplingParams,
    seed: int,
    max_error_share: float,
    iteration: int = EVALUATION,
) -> list[Answer]:
    """Returns `samples` judged answers per problem, in the order of the problems. Raises CheckerFailed where
    more than `max_error_share` of the verdicts are errors.
    """
    roots = [root_key(seed, iteration, record.id) for record in problems]
    keys = [[child_key(root, index) for index in range(samples)] for root in roots]
    families = engine.generate([record.prompt_ids for record in problems], keys, sampling)
    pairs = [
        (record, completion)
        for record, family in zip(problems, families, strict=True)
        for completion in family
    ]
    texts = tokens.decode_batch([completion.ids for _, completion in pairs])
    responses = [
        response_of(record, completion, text) for text, (record, completion) in zip(texts, pairs, strict=True)
    ]
    verdicts = limit_errors(judge.judge(responses), max_error_share)
    return [
        Answer(record, completion, text, verdict)
        for (record, completion), text, verdict in zip(pairs, texts, verdicts, strict=True)
    ]


def response_of(record: Record, completion: Completion, text: str) -> Response:
    """Returns a completion with its text as a Response, for judges."""
    return Response(record, tuple(completion.ids), text, completion.finish.complete)


def evenly_spaced(records: Sequence[Record], limit: int) -> list[Record]:
    """Returns at most `limit` records, evenly spaced; all for 0."""
    if not limit or limit >= len(records):
        return list(records)
    return [records[index * len(records) // limit] for index in range(limit)]
