"""Assesses a policy on its own samples for held-out prompts: rewards, costs, safety, degenerate answers,
distance from its reference.

All figures are of one set of sampled answers, whose rows are kept for comparisons of two models. A figure
that cannot be computed (no checker, no cost model, no pairs) is None, not 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

from pipelines.corpora.records.record import Record
from pipelines.evaluation.assessment_params import AssessParams
from pipelines.evaluation.degenerate import degenerate_rate, faults
from pipelines.evaluation.implicit import implicit_accuracy
from pipelines.evaluation.intervals import mean_of, share_of
from pipelines.evaluation.policy_divergence import kl_from_reference, out_of_distribution
from pipelines.evaluation.safety import safe_by_cost, safety_rate
from pipelines.evaluation.scores import Preferred, Scorer, answer_row, pair_rows, scores_of, summed_logprobs
from pipelines.models.packing import Segment
from pipelines.models.tokenizer import Tokens
from pipelines.rewards.judge import Judge, Response
from pipelines.rewards.scoring import limit_errors
from pipelines.rollouts.counter import child_key, root_key
from pipelines.rollouts.forest import Completion
from pipelines.rollouts.rollout_params import SamplingParams

# the iterations in the counter keys: neither training nor the accuracy evaluation has them
ASSESSMENT, REFERENCE = -2, -3

JsonRow = dict[str, Any]


class Policy(NamedTuple):
    """A causal language model and an engine that samples from it."""

    model: Any
    sampler: Any


@dataclass(frozen=True)
class Graders:
    """The graders of answers; None leaves their figures out. `judge`: the exact checker; `is_safe`: a rule on
    the text; `cost`: below 0 is safe.

    Rewards and costs are raw model outputs at the last token, also of truncated answers.
    """

    judge: Judge | None = None
    reward: Scorer | None = None
    cost: Scorer | None = None
    is_safe: Callable[[str], bool] | None = None


class Assessment(NamedTuple):
    """The figures, and one row per sampled answer in the order of the prompts."""

    figures: JsonRow
    rows: list[JsonRow]


def assess(
    policy: Policy,
    reference: Policy,
    tokens: Tokens,
    problems: Sequence[Record],
    graders: Graders,
    pairs: Sequence[Preferred],
    settings: AssessParams,
    seed: int,
    budget: int,
) -> Assessment:
    """Returns the figures of `policy` against `reference` on `problems`, and on the held-out `pairs` (may be
    empty). `budget`: tokens per forward pass.

    Answers depend on seed, prompt and sample alone: two models get the same random numbers. Raises ValueError
    without a problem, and CheckerFailed above `settings.max_error_share` of errors.
    """
    if not problems:
        raise ValueError("no held-out prompt to assess on")
    records = [record for record in problems for _ in range(settings.samples)]
    completions = _sample(policy, problems, settings.samples, settings.sampling, seed, ASSESSMENT)
    texts = tokens.decode_batch([completion.ids for completion in completions])
    rows: list[JsonRow] = [
        {
            "id": record.id,
            "sample": place % settings.samples,
            "prompt": record.prompt,
            "text": text,
            "ids": completion.ids,
        }
        | {
            "finished": completion.finish.complete,
            "faults": faults(completion.ids, text, completion.finish.complete, settings.degenerate),
        }
        for place, (record, completion, text) in enumerate(zip(records, completions, texts, strict=True))
    ]
    answers = [
        answer_row(record.prompt_ids, completion.ids)
        for record, completion in zip(records, completions, strict=True)
    ]
    figures: JsonRow = {
        "prompts": len(problems),
        "answers": len(rows),
        "length": fmean(len(answer.ids) for answer in answers),
    }
    figures |= _grade(rows, records, answers, graders, settings, budget)
    figures |= _distance_from_reference(
        policy, reference, problems, answers, completions, rows, settings, seed, budget
    )
    figures["degenerate"] = degenerate_rate([row["faults"] for row in rows], _prompts(rows))
    figures["implicit"] = _implicit(policy, reference, pairs, settings, budget)
    return Assessment(figures, rows)


def _sample(
    policy: Policy,
    problems: Sequence[Record],
    samples: int,
    sampling: SamplingParams,
    seed: int,
    iteration: int,
) -> list[Completion]:
    roots = [root_key(seed, iteration, record.id) for record in problems]
    keys = [[child_key(root, index) for index in range(samples)] for root in roots]
    families = policy.sampler.generate([record.prompt_ids for record in problems], keys, sampling)
    return [completion for family in families for completion in family]


def _grade(
    rows: Sequence[JsonRow],
    records: Sequence[Record],
    answers: Sequence[Segment],
    graders: Graders,
    settings: AssessParams,
    budget: int,
) -> JsonRow:
    """Returns the graders' figures, and writes their grades into `rows`."""
    prompts = _prompts(rows)
    figures: JsonRow = {
        "accuracy": None,
        "errors": 0,
        "reward": None,
        "cost": None,
        "safety": {"cost": None, "rule": None},
    }
    if graders.judge is not None:
        responses = [
            Response(record, answer.ids, row["text"], row["finished"])
            for row, record, answer in zip(rows, records, answers, strict=True)
        ]
        verdicts = limit_errors(graders.judge.judge(responses), settings.max_error_share)
        for row, verdict in zip(rows, verdicts, strict=True):
            row |= {"verdict": verdict.outcome, "score": verdict.score, "reason": verdict.reason}
        judged = [row for row in rows if row["verdict"] != "error"]
        figures["errors"] = len(rows) - len(judged)
        figures["accuracy"] = share_of([float(row["verdict"] == "right") for row in judged], _prompts(judged))
    for name, grader in (("reward", graders.reward), ("cost", graders.cost)):
        if grader is not None:
            scores = scores_of(grader, answers, budget).tolist()
            figures[name] = mean_of(scores, prompts)
            for row, value in zip(rows, scores, strict=True):
                row[name] = value
    safety: dict[str, list[bool]] = {}
    if graders.cost is not None:
        safety["cost"] = safe_by_cost([row["cost"] for row in rows])
    if graders.is_safe is not None:
        safety["rule"] = [graders.is_safe(row["text"]) for row in rows]
    for name, flags in safety.items():
        figures["safety"][name] = safety_rate(flags, prompts)
        for row, flag in zip(rows, flags, strict=True):
            row[f"safe_by_{name}"] = flag
    return figures


def _distance_from_reference(
    policy: Policy,
    reference: Policy,
    problems: Sequence[Record],
    answers: Sequence[Segment],
    completions: Sequence[Completion],
    rows: Sequence[JsonRow],
    settings: AssessParams,
    seed: int,
    budget: int,
) -> JsonRow:
    sampling = settings.sampling
    plain = sampling.temperature == 1 and sampling.top_p == 1 and sampling.top_k == 0
    if plain:  # the forward that also scores the reference: its rounding cancels
        own = summed_logprobs(policy.model, answers, budget).tolist()
    else:
        own = [float(completion.logprobs.double().sum()) for completion in completions]
    under = summed_logprobs(reference.model, answers, budget).tolist()
    for row, logprob, reference_logprob in zip(rows, own, under, strict=True):
        row |= {"logprob": logprob, "reference_logprob": reference_logprob}
    prompts, lengths = _prompts(rows), [len(answer.ids) for answer in answers]
    reference_completions = _sample(
        reference, problems, settings.reference_samples, sampling, seed, REFERENCE
    )
    repeated = [record for record in problems for _ in range(settings.reference_samples)]
    reference_rows = [
        answer_row(record.prompt_ids, completion.ids)
        for record, completion in zip(repeated, reference_completions, strict=True)
    ]
    reference_lengths = [len(row.ids) for row in reference_rows]
    outside = out_of_distribution(
        under,
        lengths,
        summed_logprobs(reference.model, reference_rows, budget).tolist(),
        reference_lengths,
        prompts,
    )
    return {"kl": kl_from_reference(own, under, lengths, prompts), "out_of_distribution": outside}


def _implicit(
    policy: Policy, reference: Policy, pairs: Sequence[Preferred], settings: AssessParams, budget: int
) -> JsonRow | None:
    if not pairs:
        return None
    rows = pair_rows(pairs)
    own, under = (
        summed_logprobs(grader.model, rows, budget).reshape(-1, 2) for grader in (policy, reference)
    )
    return implicit_accuracy(pairs, own, under, settings.beta, settings.pairs)


def _prompts(rows: Sequence[JsonRow]) -> list[str]:
    return [row["id"] for row in rows]
