"""Value normalisation against dpo_vs_ppo.md 9.2.19."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.credit.value_norm import ValueNorm


def test_before_any_update():
    """19: mean 0 and std .1, so that 2 denormalises to .2."""
    norm = ValueNorm()
    assert (norm.mean, norm.std) == (0.0, pytest.approx(0.1))
    assert norm.denormalise(torch.tensor([2.0])).tolist() == pytest.approx([0.2])
    norm.update(torch.zeros(0))
    assert norm.std == pytest.approx(0.1)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99995])
def test_first_update(decay):
    """19: G (1, 3) -> mean 2, variance 1 whatever the decay."""
    norm = ValueNorm(decay)
    norm.update(torch.tensor([1.0, 3.0]))
    assert norm.mean == pytest.approx(2.0)
    assert norm.std == pytest.approx(1.0)


def test_running_statistics_are_debiased_means():
    batches, decay = [torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0, 6.0]), torch.tensor([5.0])], 0.9
    norm = ValueNorm(decay)
    for batch in batches:
        norm.update(batch)
    weights = [(1 - decay) * decay ** (len(batches) - 1 - step) for step in range(len(batches))]
    mean = sum(w * b.mean().item() for w, b in zip(weights, batches, strict=True)) / (1 - decay**3)
    square = sum(w * b.square().mean().item() for w, b in zip(weights, batches, strict=True)) / (1 - decay**3)
    assert norm.mean == pytest.approx(mean)
    assert norm.std == pytest.approx((square - mean**2) ** 0.5)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=9))
def test_there_and_back(numbers):
    """19: denormalise(normalise(x)) = x while |normalised| < 5, and targets never leave the limit."""
    returns, norm = torch.tensor(numbers, dtype=torch.float64), ValueNorm()
    norm.update(returns)
    normalised = norm.normalise(returns)
    inside = normalised.abs() < 5
    assert torch.allclose(norm.denormalise(normalised)[inside], returns[inside], atol=1e-9)
    assert normalised.abs().max().item() <= 5


def test_state_goes_through_plain_numbers():
    norm, other = ValueNorm(), ValueNorm()
    norm.update(torch.tensor([1.0, 2.0, 4.0]))
    other.load_state_dict(dict(norm.state_dict()))
    for one in (norm, other):
        one.update(torch.tensor([7.0]))
    assert (norm.mean, norm.std) == (other.mean, other.std)
    assert all(isinstance(value, float) for value in norm.state_dict().values())


def test_a_return_that_is_not_finite_is_refused():
    norm = ValueNorm()
    with pytest.raises(ValueError, match="not finite"):
        norm.update(torch.tensor([1.0, float("nan")]))
    assert norm.mean == 0.0
