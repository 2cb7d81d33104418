"""One iteration's experience: sample a forest, judge its leaves, make rewards of verdicts, and flatten
segments to training rows.

Dynamic sampling lives here too: prompts whose responses are all right or all wrong are replaced (entropy.md
1.4).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from types import ModuleType

import torch

from pipelines.corpora.records.record import Record
from pipelines.credit.shaping import shape
from pipelines.rewards.judge import Judge, Response
from pipelines.rewards.scoring import limit_errors, part_means
from pipelines.rewards.verdict import Verdict
from pipelines.rollouts.counter import root_key
from pipelines.rollouts.forest import Completion, Forest, Prompt
from pipelines.seams import load
from pipelines.training.guard import NotFinite
from pipelines.training.policy_params import PolicyParams
from pipelines.training.policy_parts import Generation
from pipelines.training.training_row import EMPTY, TrainingRow


@dataclass
class Rollout:
    """A judged forest: `rewards` per node (shaped; NaN for inner nodes and where there is no verdict),
    figures for the log.
    """

    forest: Forest
    problems: list[Record]
    verdicts: dict[int, Verdict]
    rewards: list[float]
    figures: dict[str, float]

    def training_rows(self) -> tuple[list[int], list[TrainingRow]]:
        """Returns the nodes that may be trained on, and their rows. The last segment of a response without a
        verdict is left out: whitening would turn even its 0 into an advantage.
        """
        unjudged = {leaf for leaf in self.verdicts if math.isnan(self.rewards[leaf])}
        nodes = [
            index
            for index, node in enumerate(self.forest.nodes)
            if not node.side and node.ids and index not in unjudged
        ]
        sequences = self.forest.sequences()
        return nodes, [_row(self.forest, self.problems, index, sequences.get(index)) for index in nodes]


def _row(forest: Forest, problems: list[Record], index: int, sequence: int | None = None) -> TrainingRow:
    node = forest.nodes[index]
    before = [forest.prompts[node.tree].ids, *(forest.nodes[step].ids for step in forest.path(index)[:-1])]
    context = tuple(tuple(ids) for ids in before if ids)
    return TrainingRow(
        problems[node.tree].id,
        context,
        tuple(node.ids),
        node.logprobs,
        node.logprobs,
        node.entropy,
        sequence=sequence,
    )


class Collector:
    """Turns problems into a judged forest: the settings name the sampler, `judge` gives the verdicts."""

    def __init__(self, generation: Generation, judge: Judge, settings: PolicyParams, seed: int) -> None:
        self._engine, self._tokens = generation.engine, generation.tokens
        self._judge, self._settings, self._seed = judge, settings, seed
        self.say: Callable[[str], None] = print
        self._sampler: ModuleType = load("pipelines.rollouts.samplers", settings.sampler.kind)

    def collect(self, draw: Callable[[int, int], list[Record]], iteration: int) -> Rollout:
        """`draw(round, count)` gives the problems of a round of dynamic sampling; round 0 is the only one
        without it.

        Raises CheckerFailed above the configured share of errors, and RuntimeError where too few prompts are
        left and that is to stop.
        """
        settings, refill = self._settings, self._settings.refill
        sampled = self._sample(draw(0, settings.prompts), iteration, 0)
        if refill is None:
            return self._rollout(sampled, {})
        rounds, kept, everything = 1, self._mixed_groups(sampled), [sampled]
        while (
            len(kept) < settings.prompts
            and rounds < (refill.rounds or math.inf)
            and not self._token_limit_reached(everything)
        ):
            everything.append(self._sample(draw(rounds, refill.prompts), iteration, rounds))
            kept += self._mixed_groups(everything[-1])
            rounds += 1
        missing = settings.prompts - len(kept)
        if missing > 0:
            reason = (
                f"max_tokens {refill.max_tokens}"
                if self._token_limit_reached(everything)
                else f"{rounds} rounds"
            )
            text = (
                f"iteration {iteration}: {len(kept)} of {settings.prompts} prompts have answers of both "
                f"kinds after {reason}"
            )
            if refill.exhausted == "stop":
                raise RuntimeError(
                    f"{text}: choose problems nearer to the policy's ability, allow more rounds, or set "
                    f"refill.exhausted: go_on"
                )
            self.say(text)
        return self._rollout(
            _join_groups(kept[: settings.prompts]),
            {"refill_rounds": rounds, "refill_missing": max(0, missing), "refill_surplus": max(0, -missing)}
            | _sampling_figures(everything),
        )

    def _token_limit_reached(self, batches: list[_Sampled]) -> bool:
        limit = self._settings.refill.max_tokens if self._settings.refill else None
        return (
            limit is not None
            and sum(len(node.ids) for batch in batches for node in batch.forest.nodes) >= limit
        )

    def _sample(self, problems: list[Record], iteration: int, number: int) -> _Sampled:
        settings, seen = self._settings, Counter[str]()
        prompts = []
        for record in problems:
            # the same problem twice: other answers
            again = f"\x00{number}.{seen[record.id]}" if number or seen[record.id] else ""
            seen[record.id] += 1
            prompts.append(
                Prompt(record.id, record.prompt_ids, root_key(self._seed, iteration, record.id + again))
            )
        forest: Forest = self._sampler.grow(self._engine, prompts, settings.sampler, settings.sampling)
        leaves = forest.leaves()
        ids = [forest.response(leaf) for leaf in leaves]
        ends = [forest.nodes[leaf] for leaf in leaves]
        responses = [
            Response(problems[node.tree], tuple(response), text, node.finish.complete)
            for response, text, node in zip(ids, self._tokens.decode_batch(ids), ends, strict=True)
        ]
        verdicts = limit_errors(self._judge.judge(responses), settings.max_error_share)
        sampled = _Sampled(forest, problems, dict(zip(leaves, verdicts, strict=True)))
        self._check(sampled)
        return sampled

    def _check(self, sampled: _Sampled) -> None:
        """Raises NotFinite for log-probs and scores that are not: here, for groups that dynamic sampling
        drops are seen by nobody else, and shaping may hide a score.
        """
        forest, problems = sampled.forest, sampled.problems
        if not bool(torch.cat([EMPTY, *(node.logprobs for node in forest.nodes)]).isfinite().all()):
            for index, node in enumerate(forest.nodes):
                if not bool(node.logprobs.isfinite().all()):
                    raise NotFinite(
                        "log-prob of the sampler", _row(forest, problems, index), node.logprobs.tolist()
                    )
        for leaf, verdict in sampled.verdicts.items():
            if self._has_reward(verdict) and not math.isfinite(verdict.score):
                raise NotFinite("the verdict's score", _row(forest, problems, leaf), [verdict.score])

    def _has_reward(self, verdict: Verdict) -> bool:
        """Returns whether a verdict's score is a reward."""
        return verdict.outcome != "error" or self._settings.on_error == "wrong"

    def _rollout(self, sampled: _Sampled, figures: dict[str, float]) -> Rollout:
        settings, forest = self._settings, sampled.forest
        leaves, verdicts = list(sampled.verdicts), list(sampled.verdicts.values())
        counted = [self._has_reward(verdict) for verdict in verdicts]
        rewards, more = shape(
            torch.tensor(
                [
                    verdict.score if used else math.nan
                    for verdict, used in zip(verdicts, counted, strict=True)
                ],
                dtype=torch.float64,
            ),
            # of no verdicts at all too
            torch.tensor([verdict.outcome != "right" for verdict in verdicts], dtype=torch.bool),
            torch.tensor([len(forest.response(leaf)) for leaf in leaves], dtype=torch.int64),
            torch.tensor([forest.nodes[leaf].tree for leaf in leaves], dtype=torch.int64),
            settings.shaping,
            settings.sampling.max_new_tokens,
        )
        of_node = [math.nan] * len(forest.nodes)
        for leaf, value in zip(leaves, rewards.tolist(), strict=True):
            of_node[leaf] = value
        return Rollout(
            forest,
            sampled.problems,
            sampled.verdicts,
            of_node,
            (figures or _sampling_figures([sampled])) | more,
        )

    def _mixed_groups(self, sampled: _Sampled) -> list[_Group]:
        """Returns the prompts of a flat forest whose judged responses are neither all right nor all wrong,
        with their responses.
        """
        groups = []
        for tree, _, members in sampled.forest.children():
            outcomes = {sampled.verdicts[index].outcome for index in members}
            if "error" in outcomes and self._settings.on_error == "wrong":
                outcomes.add("wrong")
            if {"right", "wrong"} <= outcomes:
                nodes = [sampled.forest.nodes[index] for index in members]
                pairs = [
                    (Completion(node.ids, node.logprobs, node.entropy, node.finish), sampled.verdicts[index])
                    for index, node in zip(members, nodes, strict=True)
                ]
                groups.append((sampled.problems[tree], sampled.forest.prompts[tree], pairs))
        return groups


@dataclass
class _Sampled:
    forest: Forest
    problems: list[Record]
    verdicts: dict[int, Verdict]


_Group = tuple[Record, Prompt, list[tuple[Completion, Verdict]]]


def _join_groups(kept: list[_Group]) -> _Sampled:
    forest = Forest([prompt for _, prompt, _ in kept])
    verdicts = {
        forest.add(tree, -1, completion): verdict
        for tree, (_, _, pairs) in enumerate(kept)
        for completion, verdict in pairs
    }
    return _Sampled(forest, [record for record, _, _ in kept], verdicts)


def _sampling_figures(batches: list[_Sampled]) -> dict[str, float]:
    """Returns figures of everything that was sampled; side rollouts count in the number of tokens only."""
    ends = [(batch.forest, leaf) for batch in batches for leaf in batch.forest.leaves(side=False)]
    verdicts = [batch.verdicts[leaf] for batch in batches for leaf in batch.forest.leaves(side=False)]
    judged = [verdict for verdict in verdicts if verdict.outcome != "error"] or verdicts
    nodes = [node for batch in batches for node in batch.forest.nodes]
    main = [node for node in nodes if not node.side]
    outcomes: dict[tuple[int, int], set[str]] = {}
    for number, batch in enumerate(batches):
        for leaf, verdict in batch.verdicts.items():
            outcomes.setdefault((number, batch.forest.nodes[leaf].tree), set()).add(verdict.outcome)
    groups = list(outcomes.values())
    figures = {
        "reward": fmean(verdict.score for verdict in judged),
        "accuracy": fmean(verdict.outcome == "right" for verdict in judged),
        "entropy": sum(float(node.entropy.sum()) for node in main)
        / max(1, sum(len(node.ids) for node in main)),
        "length": fmean(len(forest.response(leaf)) for forest, leaf in ends),
        "finished": fmean(forest.nodes[leaf].finish.complete for forest, leaf in ends),
        "errors": sum(verdict.outcome == "error" for batch in batches for verdict in batch.verdicts.values()),
        "all_right": fmean(group == {"right"} for group in groups),
        "all_wrong": fmean(group == {"wrong"} for group in groups),
        "sampled_tokens": sum(len(node.ids) for node in nodes),
    } | part_means(verdicts)
    if len(nodes) > len(main):
        figures["side_rollouts"] = len(nodes) - len(main)
    if len(main) > len(ends):
        figures["segments"] = len(main) / len(ends)
    return figures
