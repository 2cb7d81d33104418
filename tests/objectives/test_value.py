"""The critic's loss: dpo_vs_ppo.md 9.2.17."""

import pytest
import torch

from pipelines.objectives.value import value_loss


@pytest.mark.parametrize(
    ("value", "wanted", "slope"), [(1.0, 0.045, 0.0), (0.6, 0.08, -0.4), (0.0, 0.5, -1.0)]
)
def test_worked_numbers(value, wanted, slope):
    values = torch.tensor([value], dtype=torch.float64, requires_grad=True)
    old, returns = torch.tensor([0.5], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    loss = value_loss(values, old, returns, 0.2)
    assert loss.item() == pytest.approx(wanted)
    assert torch.autograd.grad(loss.sum(), values)[0].item() == pytest.approx(slope)


def test_without_a_clip():
    assert value_loss(
        torch.tensor([1.0, 3.0]), torch.tensor([9.0, 9.0]), torch.tensor([1.0, 1.0]), None
    ).tolist() == [0.0, 2.0]
