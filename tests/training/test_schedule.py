"""The learning rate: warm-up, flat part, decay to the floor; the steps of spo.md 10.26."""

import itertools
import math

import pytest
import torch

from pipelines.training.options import ScheduleParams
from pipelines.training.schedule import lr_factor


def test_constant_is_one_throughout():
    assert {lr_factor(step, 10, ScheduleParams()) for step in range(10)} == {1.0}


def test_flat_to_half_then_linear_to_the_floor():
    schedule = ScheduleParams(warmup=0.05, flat_until=0.5, decay="linear", floor=0.03)
    factors = [lr_factor(step, 1000, schedule) for step in range(1000)]
    assert factors[0] == pytest.approx(1 / 50)
    assert factors[49] == factors[499] == 1.0
    assert factors[750] == pytest.approx(0.03 + 0.97 * 0.5)
    assert factors[-1] == pytest.approx(0.03, abs=2e-3)
    assert all(later <= earlier for earlier, later in itertools.pairwise(factors[50:]))


def test_papers_warm_up_takes_480_of_16000_steps():
    schedule = ScheduleParams(warmup=0.03, decay="linear")
    assert next(step for step in range(16_000) if lr_factor(step, 16_000, schedule) == 1.0) == 479
    assert lr_factor(15_999, 16_000, schedule) == pytest.approx(1 / 15_520)


def test_cosine_passes_the_middle():
    assert lr_factor(50, 100, ScheduleParams(decay="cosine")) == pytest.approx(
        (1 + math.cos(math.pi / 2)) / 2
    )


@pytest.mark.parametrize("decay", ["linear", "cosine"])
@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_the_floor_is_reached_after_the_last_step_as_in_transformers(decay, floor):
    """An independent implementation: transformers' own schedules, whose factor is 0 after the last step."""
    from transformers.optimization import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

    make = get_linear_schedule_with_warmup if decay == "linear" else get_cosine_schedule_with_warmup
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = make(optimiser, 0, 40).lr_lambdas[0]
    schedule = ScheduleParams(decay=decay, floor=floor)
    for step in range(41):
        assert lr_factor(step, 40, schedule) == pytest.approx(floor + (1 - floor) * theirs(step))
    assert lr_factor(40, 40, schedule) == pytest.approx(floor)
    assert lr_factor(39, 40, schedule) > floor
