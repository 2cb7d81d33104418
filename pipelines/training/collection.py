"""One iteration's experience: sample a forest, judge its leaves, assign credit, and flatten segments to training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from types import ModuleType

from torch import Tensor

from pipelines.corpora.record import Record
from pipelines.models.tokenizer import Tokens
from pipelines.rewards.scoring import Check, score
from pipelines.rewards.verdict import Verdict
from pipelines.rollouts.counter import root_key
from pipelines.rollouts.forest import Forest, Prompt
from pipelines.rollouts.local import LocalEngine
from pipelines.seams import load
from pipelines.training.policy_params import PolicyParams


@dataclass(slots=True)
class Row:
    """A segment to learn from: ids hold its context and itself; the tensors are (tokens of the segment,) float32 on the CPU."""

    ids: list[int]
    prompt: int  # length of the context, which carries no loss
    sampler_logprobs: Tensor
    old_logprobs: Tensor
    entropy: Tensor
    advantages: Tensor
    reference: Tensor | None = None


class Collector:
    """Turns problems into rows with the modules that the settings name."""

    def __init__(self, engine: LocalEngine, tokens: Tokens, settings: PolicyParams, seed: int) -> None:
        self._engine, self._tokens, self._settings, self._seed = engine, tokens, settings, seed
        self._sampler: ModuleType = load("pipelines.rollouts", settings.sampler)
        self._credit: ModuleType = load("pipelines.credit", settings.credit)
        self._check: Check = load("pipelines.rewards", settings.reward).check

    def collect(self, problems: Sequence[Record], iteration: int) -> tuple[list[Row], dict[str, float]]:
        """Rows of all segments (those without signal left out if so configured), and the iteration's figures."""
        settings = self._settings
        prompts = [Prompt(record.id, record.prompt_ids, root_key(self._seed, iteration, record.id)) for record in problems]
        forest: Forest = self._sampler.grow(self._engine, prompts, settings)
        leaves = forest.leaves()
        verdicts = self._judge(forest, leaves, problems)
        rewards = [float("nan")] * len(forest.nodes)
        for leaf, verdict in zip(leaves, verdicts, strict=True):
            if verdict.outcome != "error" or settings.on_error == "wrong":
                rewards[leaf] = verdict.score
        advantages = self._credit.assign(forest, rewards, settings)
        rows, trees = [], set()
        for index, (node, advantage) in enumerate(zip(forest.nodes, advantages, strict=True)):
            signal = bool(advantage.any())
            if signal:
                trees.add(node.tree)
            if signal or settings.zero_signal == "count":
                context = forest.context(index)
                rows.append(Row(context + node.ids, len(context), node.logprobs, node.logprobs, node.entropy, advantage))
        return rows, self._figures(forest, leaves, verdicts, len(trees) / len(prompts))

    def _judge(self, forest: Forest, leaves: list[int], problems: Sequence[Record]) -> list[Verdict]:
        texts = self._tokens.decode_batch([forest.response(leaf) for leaf in leaves])
        ends = [forest.nodes[leaf] for leaf in leaves]
        answers = [(text, problems[node.tree].answer, node.finish.whole) for text, node in zip(texts, ends, strict=True)]
        return score(self._check, answers, self._settings.max_error_share)

    def _figures(self, forest: Forest, leaves: list[int], verdicts: list[Verdict], kept_groups: float) -> dict[str, float]:
        judged = [verdict for verdict in verdicts if verdict.outcome != "error"] or verdicts
        tokens = sum(len(node.ids) for node in forest.nodes)
        return {
            "reward": fmean(verdict.score for verdict in judged),
            "accuracy": fmean(verdict.outcome == "right" for verdict in judged),
            "entropy": sum(float(node.entropy.sum()) for node in forest.nodes) / tokens,
            "length": fmean(len(forest.response(leaf)) for leaf in leaves),
            "finished": fmean(forest.nodes[leaf].finish.whole for leaf in leaves),
            "errors": sum(verdict.outcome == "error" for verdict in verdicts),
            "kept_groups": kept_groups,
            "sampled_tokens": tokens,
        }
