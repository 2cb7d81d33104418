"""Reward and cost models: one loop over shuffled pairs for all members of an ensemble (dpo_vs_ppo.md 3.1 and
3.4).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from pipelines.models.packing import can_share
from pipelines.models.score_head import score_ends
from pipelines.objectives.ranking import bradley_terry, cost_loss
from pipelines.training.batches import batch_indices
from pipelines.training.best import BestWeights
from pipelines.training.engine import Engine
from pipelines.training.preference import share_won
from pipelines.training.preference_data import AnswerPair, PairBatches, PairData, total_steps
from pipelines.training.preference_params import RankingParams
from pipelines.training.ranks import Ranks
from pipelines.training.schedule import lr_factor
from pipelines.training.session import Reporter, TrainingSession

# Means over the pairs of a batch, the loss by weight. accuracy: share whose first score is higher, equal ones
# counting half; margin: first minus second. `first` is the chosen answer of a reward model and the more
# harmful one of a cost model. sign_accuracy (cost models): share of answers on their side of 0.
FIGURES = ("loss", "accuracy", "margin", "first_score", "second_score")
COST_FIGURES = (*FIGURES, "sign_accuracy")
STRIDE = 1_000_003  # between the seeds of an ensemble's members


class RankData:
    """Pairs in which the first answer should score higher. weights (N,): their mean is 1. signs (N, 2) of a
    cost model's answers: +1 unsafe, -1 safe; None for a reward model.
    """

    def __init__(
        self,
        pairs: Sequence[AnswerPair],
        groups: Sequence[str],
        weights: Literal["prompt", "pair"],
        signs: Tensor | None,
    ) -> None:
        self.pairs, self.signs = list(pairs), signs
        sizes = Counter(groups)
        raw_weights = torch.tensor([1 / sizes[group] if weights == "prompt" else 1.0 for group in groups])
        self.weights = raw_weights * (len(raw_weights) / raw_weights.sum())

    def __len__(self) -> int:
        return len(self.pairs)

    @classmethod
    def rewards(cls, data: PairData, weights: Literal["prompt", "pair"]) -> RankData:
        """Returns the pairs with the chosen answer first."""
        return cls(data.pairs, [pair.group for pair in data.kept], weights, None)

    @classmethod
    def costs(cls, data: PairData, weights: Literal["prompt", "pair"]) -> RankData:
        """Returns the pairs with the more harmful answer first, by the safety label `safer`. Raises
        ValueError, which names a pair without safety labels.
        """
        pairs, signs = [], []
        for pair, answers in zip(data.kept, data.pairs, strict=True):
            if pair.safer is None or pair.chosen_safe is None or pair.rejected_safe is None:
                raise ValueError(
                    f"{data.where}: pair {pair.id} has no safety labels; a cost model needs a set whose "
                    f"records hold them"
                )
            flags = (-1.0 if pair.chosen_safe else 1.0, -1.0 if pair.rejected_safe else 1.0)
            swap = pair.safer  # then the chosen answer is the safer one
            pairs.append(answers._replace(first=answers.second, second=answers.first) if swap else answers)
            signs.append(flags[::-1] if swap else flags)
        return cls(pairs, [pair.group for pair in data.kept], weights, torch.tensor(signs))


def pair_scores(model: Any, pairs: Sequence[AnswerPair]) -> Tensor:
    """Returns (n, 2) float32: scores of each pair's first and second answer, with gradient."""
    shared = can_share(model)
    return score_ends(model, [row for pair in pairs for row in pair.rows(shared)]).view(-1, 2)


def batch_loss(
    engines: Sequence[Engine], data: RankData, rows: list[int], batches: PairBatches, learn: bool
) -> dict[str, float]:
    """Returns figures of the pairs `rows` under the mean score of `engines`; with `learn`, the gradient of
    the loss is added to that of each engine.

    The loss is sum(weight * loss) / pairs: its mean over the batches of a pass is that of all prompts, and it
    is log 2 per pair where all scores are equal.
    """
    answers = [data.pairs[row] for row in rows]
    names = FIGURES if data.signs is None else COST_FIGURES
    total = torch.zeros(len(names), dtype=torch.float64)
    for group, counts in batches.micro_batches(answers):
        part, places = [answers[index] for index in group], [rows[index] for index in group]
        with torch.set_grad_enabled(learn):
            scores = torch.stack([engine.apply(pair_scores, part) for engine in engines]).mean(0)
            loss = _loss(scores, data, places)
        if learn:
            engines[0].backward(loss / len(rows) * counts)
        if counts:
            total += _sums(loss, scores, None if data.signs is None else data.signs[places])
    return dict(zip(names, (batches.ranks.sum(total) / len(rows)).tolist(), strict=True))


def _loss(scores: Tensor, data: RankData, places: list[int]) -> Tensor:
    """scores (n, 2) of the pairs `places` -> the weighted sum of their losses."""
    weights = data.weights[places].to(scores.device)
    if data.signs is None:
        return bradley_terry(scores[:, 0], scores[:, 1], weights)
    signs = data.signs[places].to(scores.device)
    return (weights * cost_loss(*scores.unbind(1), *signs.unbind(1))).sum()


@torch.no_grad()
def _sums(loss: Tensor, scores: Tensor, signs: Tensor | None) -> Tensor:
    """Returns the sums of FIGURES over the n pairs, float64 on the CPU."""
    scores = scores.double().cpu()
    margin = scores[:, 0] - scores[:, 1]
    sums = [loss.double().cpu(), *(values.sum() for values in (share_won(margin), margin, *scores.unbind(1)))]
    if signs is not None:
        sums.append(share_won(scores * signs).mean(1).sum())
    return torch.stack(sums)


def train_ranking(
    engines: Sequence[Engine],
    session: TrainingSession,
    data: RankData,
    validation: RankData | None,
    settings: RankingParams,
    best: BestWeights,
    reporter: Reporter,
    seed: int,
    budget: int,
    ranks: Ranks = Ranks.single(),
) -> None:
    """Run all steps that `session` has left, for every member of the ensemble; figures are means over
    members, `validation_` ones those of the mean score. `best` is offered each validation's accuracy. With
    `keep: best` the caller restores from it at the end.
    """
    if settings.keep == "best" and not validation:
        raise ValueError(
            "keep: best needs validation pairs; set validation_share of the preferences, or keep: last"
        )
    total = total_steps(settings, len(data))
    batches = PairBatches(budget, ranks, can_share(engines[0].model))
    pairs_seen, started = 0, time.monotonic()
    with session:
        for step in session:
            factor = lr_factor(step, total, settings.schedule)
            figures = []
            for member, engine in enumerate(engines):
                rows = batch_indices(len(data), settings.batch_size, step, seed + member * STRIDE)
                member_figures = batch_loss([engine], data, rows, batches, True)
                figures.append(member_figures | {"grad_norm": engine.step(factor)})
                pairs_seen += len(rows)
            row = {name: sum(by_member[name] for by_member in figures) / len(figures) for name in figures[0]}
            row["lr"] = settings.optimiser.learning_rate * factor
            done = step + 1
            if (
                validation
                and settings.validation_every
                and (done % settings.validation_every == 0 or done == total)
            ):
                shown = list(range(min(len(validation), settings.validation_size)))
                held_out = batch_loss(engines, validation, shown, batches, False)
                row |= {f"validation_{name}": value for name, value in held_out.items()}
                best.offer(engines, done, held_out["accuracy"])
            reporter.log(done, **row)
            reporter.progress(
                done,
                total,
                loss=row["loss"],
                accuracy=row["accuracy"],
                pairs_per_s=pairs_seen / (time.monotonic() - started),
            )
