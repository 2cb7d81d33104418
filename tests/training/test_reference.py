"""The moving reference: dpo_vs_ppo.md 5.1.9, 9.1.13 and 9.2.18."""

import pytest
import torch
from torch import nn

from pipelines.training.reference import ReferenceModel
from tests.tiny import CPU, make_tiny_tokens
from tests.training.loops import Loop
from tests.training.stages import FLAT


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


def one_weight(value):
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, value)
    return model


def after(rate, steps):
    """The reference's weight: it starts at 1, the policy stays at 2."""
    reference, policy = ReferenceModel(one_weight(1.0), CPU, rate), one_weight(2.0)
    for _ in range(steps):
        reference.ema_update(policy)
    return float(reference.model.weight)


def test_the_weight_is_the_policys():
    """Item 18: ref 1, actor 2, rate .001."""
    assert [after(0.001, steps) for steps in (1, 2, 3)] == pytest.approx(
        [1.001, 1.001999, 1.002997], abs=1e-6
    )
    assert after(0.001, 1000) == pytest.approx(1.632305, abs=1e-4)
    assert after(0.001, 693) == pytest.approx(1.5, abs=2e-4)
    assert after(0.0, 5) == 1
    assert after(1.0, 1) == 2


def test_it_is_a_copy_without_gradients():
    policy = one_weight(1.0)
    reference = ReferenceModel(policy, CPU, 0.5)
    with torch.no_grad():
        policy.weight += 1
    assert float(reference.model.weight) == 1
    assert not reference.model.weight.requires_grad


def test_a_frozen_one_costs_no_checkpoint(tmp_path):
    ReferenceModel(one_weight(1.0), CPU).save(tmp_path)
    assert list(tmp_path.iterdir()) == []
    ReferenceModel(one_weight(3.0), CPU).load(tmp_path)


def test_a_moving_one_comes_back(tmp_path):
    moving = ReferenceModel(one_weight(1.0), CPU, 0.3)
    moving.ema_update(one_weight(2.0))
    moving.save(tmp_path)
    back = ReferenceModel(one_weight(1.0), CPU, 0.3)
    back.load(tmp_path)
    assert torch.equal(back.model.weight, moving.model.weight)


@pytest.mark.parametrize("use", ["reward", "loss"])
def test_it_moves_once_an_iteration_and_after_the_updates(tokens, tmp_path, use):
    """With rate 1 the reference is the policy that samples, so the KL of every iteration is 0; frozen, it is
    not from the second on.

    dpo_vs_ppo.md 9.1.13: what is stored for the current batch stays.
    """
    settings = FLAT | {
        "kl": {"use": use, "coef": 0.1},
        "iterations": 3,
        "updates_per_epoch": 1,
        "optimiser": {"learning_rate": 1e-2},
    }
    follow = Loop(tmp_path / "follow", tokens, settings | {"reference": {"rate": 1.0}})
    stored, update = [], follow.trainer._updater.update

    def remember(rows, *rest, **more):
        stored.append((rows, [row.reference_logprobs.clone() for row in rows]))
        return update(rows, *rest, **more)

    follow.trainer._updater.update = remember
    followed = [row["kl"] for row in follow.run()]
    assert followed == pytest.approx([0, 0, 0], abs=1e-6)
    for rows, references in stored:
        assert all(
            torch.equal(row.reference_logprobs, reference)
            for row, reference in zip(rows, references, strict=True)
        )
    frozen = [row["kl"] for row in Loop(tmp_path / "frozen", tokens, settings).run()]
    assert frozen[0] == pytest.approx(0, abs=1e-6)
    assert min(abs(value) for value in frozen[1:]) > 1e-4
