"""The critic's side of PPO against hand-computed numbers (dpo_vs_ppo.md 9.2)."""

import math

import pytest
import torch

from pipelines.credit import gae
from pipelines.credit.experience import Experience
from pipelines.credit.options import GaeParams
from pipelines.models.critic import StateValues
from pipelines.rollouts.forest import Completion, Finish, Forest, Prompt
from pipelines.training.guard import NotFinite
from pipelines.training.loop_params import CriticParams
from pipelines.training.micro_batches import MicroBatcher
from pipelines.training.ranks import Ranks
from pipelines.training.training_row import TrainingRow
from pipelines.training.value_learning import Critic

ZEROS = torch.zeros(3)


class ScriptedValues:
    """An engine whose model says `values` for every row, and `after` behind its last token. `loss` is the sum
    of what was backwarded.
    """

    def __init__(self, values, after):
        self.values, self.after, self.loss, self.factors = values, after, 0.0, []

    def apply(self, function, rows):
        assert function.__name__ == "score_values"
        return StateValues(
            torch.tensor(self.values).repeat(len(rows)).requires_grad_(torch.is_grad_enabled()),
            torch.full((len(rows),), self.after),
        )

    def backward(self, loss):
        self.loss += float(loss)

    def step(self, factor):
        self.factors.append(factor)
        return 1.0


def row(count=3, **more):
    zeros = torch.zeros(count)
    return TrainingRow("q", ((4, 5),), tuple(range(4, 4 + count)), zeros, zeros, zeros, **more)


def critic(engine, budget=1000, **settings):
    return Critic(engine, CriticParams(**settings), MicroBatcher(budget, Ranks.single()))


def learned(finish, reward, values, after, lam=1.0, **settings):
    """StateValues, advantages and targets of one response of three tokens."""
    judge = critic(ScriptedValues(values, after), **settings)
    rows = [row()]
    found, tails = judge.estimate_values(rows)
    forest = Forest([Prompt("q", [4, 5], 0)])
    forest.add(0, -1, Completion([4, 5, 6], ZEROS, ZEROS, finish))
    (advantages,) = gae.assign(
        Experience(forest, [reward], None, found, tails), GaeParams(gamma=1.0, lam=lam)
    )
    figures = judge.set_return_targets(rows, found, [advantages])
    return rows[0], advantages.tolist(), figures


@pytest.mark.parametrize(
    ("lam", "expected"), [(1.0, [0.5, 0.4, 0.3]), (0.0, [0.1, 0.1, 0.3]), (0.95, [0.46575, 0.385, 0.3])]
)
def test_values_advantages_and_targets(lam, expected):
    """Items 10 to 12: r (0, 0, 1), V (.5, .6, .7); the target is A + V. The value after an end token is not
    read.
    """
    found, advantages, figures = learned(Finish.EOS, 1.0, [0.5, 0.6, 0.7], 9.0, lam, normalise=False)
    assert advantages == pytest.approx(expected)
    assert found.values.tolist() == pytest.approx([0.5, 0.6, 0.7])
    targets = [advantage + value for advantage, value in zip(expected, [0.5, 0.6, 0.7], strict=True)]
    assert found.returns.tolist() == pytest.approx(targets)
    assert figures["return_mean"] == pytest.approx(sum(targets) / 3)


@pytest.mark.parametrize("finish", [Finish.CAP, Finish.CONTEXT])
def test_a_cut_response_is_bootstrapped(finish):
    """dpo_vs_ppo.md 9.2.13: r (0, 0, 0), the same V, .8 after the last token; the score of a cut response is
    not given (dpo_vs_ppo.md 9.1.6).
    """
    found, advantages, _ = learned(finish, 1.0, [0.5, 0.6, 0.7], 0.8, normalise=False)
    assert advantages == pytest.approx([0.3, 0.2, 0.1])
    assert found.returns.tolist() == pytest.approx([0.8] * 3)


def test_values_are_in_units_of_the_statistics_before_the_batch():
    """Item 19: before any update mean 0 and std .1, so V = 2 is .2; then G (1, 3) gives mean 2 and variance
    1.
    """
    judge = critic(ScriptedValues([2.0, 2.0], 2.0))
    rows = [row(2)]
    found, tails = judge.estimate_values(rows)
    assert found[0].tolist() == pytest.approx([0.2, 0.2])
    assert tails == pytest.approx([0.2])
    assert rows[0].values.tolist() == [2.0, 2.0], "the clip term needs them normalised (dpo_vs_ppo.md 5.1.6)"
    judge.set_return_targets(rows, found, [torch.tensor([0.8, 2.8])])
    assert rows[0].returns.tolist() == pytest.approx([-1.0, 1.0])
    assert judge.estimate_values(rows)[0][0].tolist() == pytest.approx([4.0, 4.0])


def test_targets_are_limited():
    """dpo_vs_ppo.md 5.1.6: to five deviations."""
    judge = critic(ScriptedValues([0.0] * 101, 0.0))
    rows = [row(101)]
    found, _ = judge.estimate_values(rows)
    returns = torch.zeros(101)
    returns[7] = 100.0
    judge.set_return_targets(rows, found, [returns])
    assert float(rows[0].returns.max()) == 5.0


@pytest.mark.parametrize(
    ("value", "clip", "expected"), [(1.0, 0.2, 0.045), (0.6, 0.2, 0.08), (0.0, 0.2, 0.5), (1.0, None, 0.0)]
)
def test_the_loss_is_clipped_and_averaged_over_tokens(value, clip, expected):
    """Item 17: V_old .5, G 1; rows of unequal length, in one micro-batch or each in its own."""
    for budget in (1000, 1):
        engine = ScriptedValues([value], 0.0)
        engine.apply = lambda function, part: StateValues(
            torch.full((sum(len(r.ids) for r in part),), value), torch.zeros(len(part))
        )
        rows = [row(count, values=torch.full((count,), 0.5), returns=torch.ones(count)) for count in (1, 3)]
        figures = critic(engine, budget, clip=clip).update(rows, 0.25)
        assert figures["value_loss"] == pytest.approx(expected, abs=1e-7)
        assert engine.loss == pytest.approx(expected, abs=1e-7)
        assert engine.factors == [0.25]


def test_explained_variance():
    """1 for a critic that is right, 0 for one that says the mean, and defined for returns that are all
    alike.
    """
    judge = critic(ScriptedValues([0.0], 0.0), normalise=False)
    returns = torch.tensor([1.0, 0.0, 1.0])
    for estimate, expected in ((returns, 1.0), (torch.full((3,), 0.5), 0.0)):
        assert judge.set_return_targets([row()], [estimate], [returns - estimate])[
            "explained_variance"
        ] == pytest.approx(expected)
    assert judge.set_return_targets([row()], [torch.ones(3)], [torch.zeros(3)])["explained_variance"] == 0


def test_statistics_come_back_with_a_checkpoint(tmp_path):
    first, second = critic(ScriptedValues([1.0], 0.0)), critic(ScriptedValues([1.0], 0.0))
    first._engine.save = second._engine.load = lambda folder: None
    first.set_return_targets([row()], [ZEROS], [torch.tensor([0.1, 0.7, 1 / 3])])
    first.save(tmp_path)
    second.load(tmp_path)
    found = [each.estimate_values([row(1)])[0][0] for each in (first, second)]
    assert torch.equal(*found)
    assert float(found[0]) != 0.1


def test_a_value_that_is_not_finite_names_its_row():
    judge = critic(ScriptedValues([0.0, math.nan, 0.0], 0.0))
    with pytest.raises(NotFinite, match="value of the critic"):
        judge.update([row(values=ZEROS, returns=ZEROS)], 1.0)
