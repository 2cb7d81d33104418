"""Flat credits read flat forests only, and put one number on every token of a response."""

import math

import pytest
import torch

from pipelines.credit import batch, gae, group, leave_one_out
from pipelines.credit.experience import Experience
from pipelines.credit.options import BatchParams, GaeParams, GroupParams, LeaveOneOutParams
from pipelines.rollouts.forest import Forest
from tests.credit.made import flat, response

FLAT_CREDITS = [
    (group, GroupParams()),
    (leave_one_out, LeaveOneOutParams()),
    (batch, BatchParams()),
    (gae, GaeParams()),
]


@pytest.mark.parametrize(("credit", "settings"), FLAT_CREDITS, ids=lambda part: getattr(part, "kind", ""))
@pytest.mark.parametrize(("parent", "side"), [(0, False), (0, True), (-1, True)])
def test_a_forest_that_is_not_flat_is_refused(credit, settings, parent, side):
    forest = flat([2])
    forest.add(0, parent, response(1), side)
    values = [torch.zeros(2), torch.zeros(1)]
    with pytest.raises(ValueError, match="flat forest"):
        credit.assign(Experience(forest, [math.nan, 1.0], None, values, [0.0, 0.0]), settings)


@pytest.mark.parametrize(("credit", "settings"), FLAT_CREDITS, ids=lambda part: getattr(part, "kind", ""))
def test_no_verdict_takes_no_part(credit, settings):
    """The other responses get what they get without it, and it gets zeros, whatever its penalties and values
    are.
    """
    sizes, rewards = [2, 3, 1, 2], [1.0, 0.0, 0.5, math.nan]
    values, penalties = [torch.full((n,), 0.25) for n in sizes], [torch.full((n,), -0.01) for n in sizes]
    found = credit.assign(Experience(flat(sizes), rewards, penalties, values, [0.0] * 4), settings)
    without = credit.assign(
        Experience(flat(sizes[:3]), rewards[:3], penalties[:3], values[:3], [0.0] * 3), settings
    )
    assert all(torch.equal(one, other) for one, other in zip(found[:3], without, strict=True))
    assert torch.equal(found[3], torch.zeros(2))
    assert all(
        part.dtype == torch.float32 and len(part) == size for part, size in zip(found, sizes, strict=True)
    )


@pytest.mark.parametrize(("credit", "settings"), FLAT_CREDITS, ids=lambda part: getattr(part, "kind", ""))
def test_nothing_at_all(credit, settings):
    assert credit.assign(Experience(Forest([]), [], None, [], []), settings) == []
    only = credit.assign(
        Experience(flat([2, 1]), [math.nan] * 2, None, [torch.zeros(2), torch.zeros(1)], [0.0] * 2), settings
    )
    assert [part.tolist() for part in only] == [[0.0, 0.0], [0.0]]
