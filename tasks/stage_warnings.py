"""Warnings: what a stage may do, and what makes its result worth little. They stand in its log and under
`warnings` in its metrics, where the end of a run and the report read them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.stage import Stage

KEY = "warnings"
MARK = "warning: "


def warned(stage: Stage, warnings: Sequence[str]) -> dict[str, list[str]]:
    """Write each warning to the log; returns the metrics' entry, and none where there is nothing to warn
    of.
    """
    for warning in warnings:
        stage.say(MARK + warning)
    return {KEY: list(warnings)} if warnings else {}


def warnings_in(metrics: Mapping[str, Any]) -> list[str]:
    """Returns the warnings that a stage's metrics, or a gate's facts, hold."""
    held = metrics.get(KEY)
    return [str(warning) for warning in held] if isinstance(held, list) else []
