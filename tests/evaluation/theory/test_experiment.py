"""The synthetic experiment: its thresholds (dpo_vs_ppo.md 6.3), its parts, and that it repeats."""

import math

import pytest
import torch

from pipelines.evaluation.theory.experiment import FIGURES, figures_of, run_theory
from pipelines.evaluation.theory.learners import closed_form, train_dpo, train_ppo, train_reward
from pipelines.evaluation.theory.networks import Cells, Networks
from pipelines.evaluation.theory.theory_params import TheoryParams
from pipelines.evaluation.theory.world import World, make_worlds

SMALL = TheoryParams(
    seeds=2,
    size=4,
    covered=2,
    width=8,
    dpo_steps=5,
    sweep=[3, 6],
    reward_steps=5,
    ppo_iterations=3,
    ppo_samples=16,
)


@pytest.fixture(scope="module")
def found():
    """The default with 10 fixed seeds, without the tabular policy."""
    return run_theory(TheoryParams(seeds=10, policies=["network"], sweep=[100, 200, 300, 400, 500, 1000]), 0)


def test_section_6_3_thresholds(found):
    """Per seed DPO raised >= 1; over 10 fixed seeds PPO has 0 raised and 8/8 diagonal in >= 8; mean uncovered
    mass DPO - PPO >= 0.2.
    """
    each = found["network"]["per_seed"]
    assert min(each["dpo"]["raised_cells"]) >= 1
    ppo = zip(each["ppo"]["raised_cells"], each["ppo"]["diagonal"], strict=True)
    assert sum(raised == 0 and diagonal == 8 for raised, diagonal in ppo) >= 8
    effect = found["network"]["effect"]["uncovered_mass"]
    assert effect["mean"] >= 0.2
    assert effect["low"] > 0.2


def test_section_6_3_measured_table(found):
    """The means over 50 seeds of dpo_vs_ppo.md 6.3, to within what 10 seeds can say."""
    policies = found["network"]["policies"]
    for name, figure, expected, tolerance in (
        ("reference", "uncovered_mass", 0.50, 0.02),
        ("reference", "true_reward", 0.34, 0.02),
        ("dpo", "raised_cells", 7.8, 2.5),
        ("dpo", "uncovered_mass", 0.40, 0.06),
        ("dpo", "true_reward", 0.65, 0.06),
        ("ppo", "uncovered_mass", 0.003, 0.01),
        ("ppo", "true_reward", 0.998, 0.01),
        ("closed_form", "uncovered_mass", 0.001, 0.005),
    ):
        assert policies[name][figure]["mean"] == pytest.approx(expected, abs=tolerance), (name, figure)
    assert found["network"]["dpo_loss"]["mean"] == pytest.approx(0.54, abs=0.01)


def test_section_6_3_the_honest_limit(found):
    """The sweep: loss 0.64, 0.54, 0.41, 0.30, 0.22 at 100 to 500 steps; seeds with a raised cell fall from
    all to none.
    """
    rows = {row["steps"]: row for row in found["network"]["sweep"]}
    for steps, loss in ((100, 0.64), (200, 0.54), (300, 0.41), (400, 0.30), (500, 0.22), (1000, 0.06)):
        assert rows[steps]["loss"]["mean"] == pytest.approx(loss, abs=0.012)
    assert [rows[steps]["seeds_with_raised"]["right"] for steps in (100, 200, 500, 1000)] == [10, 10, 0, 0]
    assert "not a law" in found["limit"]


def test_cells_that_share_nothing_keep_their_logits():
    """dpo_vs_ppo.md 6.4: a tabular policy that starts at the reference leaves the logits of uncovered cells
    untouched, and does not raise them.
    """
    settings = TheoryParams(seeds=3)
    world, start = make_worlds(settings, 0), Networks(settings, 8, 0, "policy")().detach()
    table = Cells(start, settings.table_learning_rate)
    trained = train_dpo(table, world, settings, [200])[200].policy
    # Adam divides rounding by its own size
    assert torch.allclose(table()[~world.covered], start[~world.covered], atol=1e-6)
    assert (figures_of(trained, torch.softmax(start, -1), world, settings.raised)["raised_cells"] == 0).all()


def test_the_panels_of_the_first_world(found):
    panels = found["panels"]
    assert list(panels) == ["coverage", "reference", "dpo", "ppo", "reward"]
    assert all(len(panel) == 8 and all(len(row) == 8 for row in panel) for panel in panels.values())
    assert all(sum(row) == pytest.approx(1) for name in ("reference", "dpo", "ppo") for row in panels[name])


def test_worlds_cover_the_diagonal_and_as_many_others_as_asked():
    settings = TheoryParams()
    world = make_worlds(settings, 3)
    assert world.chosen.shape == (24, 24)
    assert (world.covered.sum(2) == 4).all()
    assert (world.chosen // 8 == world.chosen % 8).all()
    assert (world.chosen // 8 == world.rejected // 8).all()
    assert (world.true.diagonal(dim1=1, dim2=2) == 1).all()
    assert (world.true.masked_fill(torch.eye(8, dtype=torch.bool), 0).amax((1, 2)) < 0.5).all()
    touched = (
        torch.zeros(24, 64, dtype=torch.bool)
        .scatter_(1, world.rejected, True)
        .scatter_(1, world.chosen, True)
    )
    assert (touched == world.covered.flatten(1)).all()


def test_a_world_does_not_depend_on_its_neighbours():
    few, many = (make_worlds(TheoryParams(seeds=seeds), 5) for seeds in (2, 6))
    assert torch.equal(few.true, many.true[:2])
    networks = [Networks(TheoryParams(seeds=seeds), 8, 5, "policy")() for seeds in (2, 6)]
    assert torch.allclose(networks[0], networks[1][:2])


def test_it_repeats_bit_for_bit():
    assert run_theory(SMALL, 1) == run_theory(SMALL, 1)
    assert run_theory(SMALL, 1)["panels"] != run_theory(SMALL, 2)["panels"]


def test_the_stack_is_torchs_own_network():
    settings = TheoryParams(seeds=2, size=4, covered=2, width=5)
    stack = Networks(settings, 3, 0, "policy")
    for world in range(2):
        first, bias, second, last = (parameter[world].detach() for parameter in stack.parameters)
        linear = torch.nn.functional.linear
        expected = linear(torch.tanh(linear(torch.eye(4, dtype=torch.float64), first, bias)), second, last)
        assert torch.allclose(stack()[world], expected)
        assert float(first.abs().max()) <= 1 / math.sqrt(4)
        assert float(second.abs().max()) <= 1 / math.sqrt(5)


def one_world(rewards, covered):
    """A world of one prompt row repeated, whose rewards are known."""
    size = len(rewards)
    cells = torch.tensor([[covered] * size])
    true = torch.tensor([[rewards] * size], dtype=torch.float64)
    return World(true, cells, torch.zeros(1, 0, dtype=torch.int64), torch.zeros(1, 0, dtype=torch.int64))


def test_ppo_reaches_the_closed_form():
    """With known rewards and enough samples the KL-regularised optimum of 4.1, which PPO knows nothing of."""
    settings = TheoryParams(seeds=2, size=3, covered=2, beta=1.0, ppo_samples=512, ppo_iterations=60)
    rewards = torch.tensor([[[1.0, 0.0, 0.5], [0.0, 2.0, 0.0], [0.3, 0.3, 0.3]]], dtype=torch.float64).repeat(
        2, 1, 1
    )
    reference = torch.softmax(torch.zeros_like(rewards), -1)
    policy = train_ppo(
        Cells(torch.zeros_like(rewards), 0.03), Networks(settings, 1, 0, "value"), rewards, settings, 0
    )
    assert torch.allclose(policy, closed_form(reference, rewards, 1.0), atol=0.08)


def test_dpo_starts_at_log_two_and_the_reward_model_orders_its_pairs():
    settings = TheoryParams(seeds=2, reward_steps=300)
    world = make_worlds(settings, 0)
    start = train_dpo(Networks(settings, 8, 0, "policy"), world, settings, [0])[0]
    assert start.loss.tolist() == pytest.approx([math.log(2)] * 2)
    rewards = train_reward(Networks(settings, 8, 0, "reward"), world, settings)
    assert (rewards.flatten(1).gather(1, world.chosen) > rewards.flatten(1).gather(1, world.rejected)).all()
    assert rewards.mean((1, 2)).tolist() == pytest.approx([0, 0], abs=1e-12)
    assert rewards.std((1, 2)).tolist() == pytest.approx([1, 1])


def test_figures_of_a_policy_that_one_can_count():
    world = one_world([1.0, 0.2, 0.4], [True, True, False])
    reference = torch.full((1, 3, 3), 1 / 3, dtype=torch.float64)
    policy = torch.tensor([[[0.5, 0.1, 0.4], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]]], dtype=torch.float64)
    found = {name: float(value) for name, value in figures_of(policy, reference, world, 0.02).items()}
    assert tuple(found) == FIGURES
    assert found["raised_cells"] == 2
    assert found["largest_rise"] == pytest.approx(0.7 - 1 / 3)
    assert found["uncovered_mass"] == pytest.approx((0.4 + 0.3 + 0.7) / 3)
    assert found["diagonal"] == 3
    assert found["true_reward"] == pytest.approx((0.68 + 0.42 + 0.42) / 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"covered": 8}, "must stay uncovered"),
        ({"ppo_samples": 510}, "mini-batches"),
        ({"sweep": [200, 100]}, "increasing"),
    ],
)
def test_settings_that_make_no_experiment(change, said):
    with pytest.raises(ValueError, match=said):
        TheoryParams(**change)
