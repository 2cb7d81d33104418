"""The learning rate over a run, as a factor of its peak."""

from __future__ import annotations

import math

from pipelines.training.options import ScheduleParams


def lr_factor(step: float, total: int, schedule: ScheduleParams) -> float:
    """step in [0, total) -> factor in (0, 1]: linear warm-up that reaches 1 after its last step, flat, then
    decay.

    `floor` is what the next step after the last would have, as in transformers' and DeepSpeed's schedules:
    with floor 0 every step learns.
    """
    warmup = math.ceil(schedule.warmup * total)
    if step < warmup:
        return min(1.0, (step + 1) / warmup)
    if schedule.decay == "constant":
        return 1.0
    begin = max(warmup, schedule.flat_until * total)
    progress = min(1.0, max(0.0, (step - begin) / max(1e-12, total - begin)))
    shape = 1 - progress if schedule.decay == "linear" else (1 + math.cos(math.pi * progress)) / 2
    return schedule.floor + (1 - schedule.floor) * shape
