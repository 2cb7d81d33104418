"""Whitening against spo.md 10.21 and dpo_vs_ppo.md 9.2.14, 9.2.15."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.credit.whitening import whiten

ALL = ["standard", "population", "scale_only"]


def everything(values):
    return torch.ones(len(values), dtype=torch.bool)


def test_a_positive_advantage_may_turn_negative():
    """spo.md 10.21; scale_only keeps the signs."""
    advantages = torch.tensor([0.5] * 3 + [0.1] * 3)
    assert whiten(advantages, everything(advantages)).tolist() == pytest.approx(
        [0.91287] * 3 + [-0.91287] * 3, abs=1e-4
    )
    assert whiten(advantages, everything(advantages), "scale_only").tolist() == pytest.approx(
        [2.2822] * 3 + [0.45644] * 3, abs=1e-4
    )


@pytest.mark.parametrize("how", ALL)
def test_constants_and_a_single_token_become_zero(how):
    """spo.md 10.21, also where the mean of equal floats is not their value."""
    for value in (0.3, 0.1, 1 / 9):
        assert (
            whiten(torch.full((6,), value), torch.ones(6, dtype=torch.bool), how, 0.0).tolist() == [0.0] * 6
        )
    rounded = torch.tensor([0.3, 0.1 + 0.2, 0.3], dtype=torch.float64)
    assert whiten(rounded, torch.ones(3, dtype=torch.bool), how, 0.0).tolist() == [0.0] * 3
    assert whiten(torch.tensor([0.3, 0.7]), torch.tensor([True, False]), how).tolist() == [0.0, 0.0]
    assert whiten(torch.zeros(0), torch.zeros(0, dtype=torch.bool), how).tolist() == []


def test_masked_normalisation():
    """dpo_vs_ppo.md 9.2.14: the population's statistics, whatever stands where the mask is off."""
    kept = torch.tensor([True, True, True, False])
    for other in (99.0, -1e9):
        found = whiten(torch.tensor([1.0, 2.0, 3.0, other]), kept, "population", 1e-5)[:3]
        assert found.tolist() == pytest.approx([-1.22473, 0, 1.22473], abs=1e-5)


def test_statistics_are_global():
    """dpo_vs_ppo.md 9.2.15: ranks (1, 2, 3) and (10, 20), not each for itself."""
    found = whiten(
        torch.tensor([1.0, 2.0, 3.0, 10.0, 20.0]), torch.ones(5, dtype=torch.bool), "population", 1e-5
    )
    assert found.tolist() == pytest.approx([-0.86851, -0.72843, -0.58835, 0.39223, 1.79306], abs=1e-4)


def test_statistics_are_over_kept_tokens_and_over_all_where_none_is_kept():
    advantages = torch.tensor([0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 9.0])
    kept = torch.tensor([True] * 6 + [False])
    assert whiten(advantages, kept)[:6].tolist() == pytest.approx([0.91287] * 3 + [-0.91287] * 3, abs=1e-4)
    none = whiten(advantages, torch.zeros(7, dtype=torch.bool))
    assert none.mean().item() == pytest.approx(0, abs=1e-6)
    assert none.std().item() == pytest.approx(1, abs=1e-4)


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=12), st.floats(0.5, 4), st.floats(-5, 5))
def test_affine_invariance(numbers, scale, shift):
    """dpo_vs_ppo.md 9.2.15: normalise(3A + 7) = normalise(A); scale_only takes a scale alone."""
    values = torch.tensor(numbers, dtype=torch.float64)
    kept = everything(values)
    for how in ("standard", "population"):
        assert torch.allclose(
            whiten(scale * values + shift, kept, how, 0.0), whiten(values, kept, how, 0.0), atol=1e-6
        )
    assert torch.allclose(
        whiten(scale * values, kept, "scale_only", 0.0), whiten(values, kept, "scale_only", 0.0), atol=1e-6
    )
    assert torch.equal(whiten(values, kept, "none"), values)


@given(st.lists(st.floats(-1e3, 1e3, width=32), max_size=9), st.integers(0, 511), st.sampled_from(ALL))
def test_always_finite_and_signs_survive_scale_only(numbers, bits, how):
    values = torch.tensor(numbers)
    kept = torch.tensor([bool(bits >> i & 1) for i in range(len(numbers))], dtype=torch.bool)
    found = whiten(values, kept, how)
    assert found.dtype == torch.float32
    assert bool(torch.isfinite(found).all())
    if how == "scale_only" and bool(found.any()):
        assert bool((found * values >= 0).all())
