"""The main figures of a run, few enough for a row of a table: what its evaluations measured.

All figures of a stage stand in its metrics file, in its own MLflow run and in the report.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flows.graph.plan import PlanRow

Figures = Iterator[tuple[str, Any]]


def main_metrics(root: Path, rows: Iterable[PlanRow]) -> dict[str, float]:
    """Returns {"grpo/accuracy.greedy": 0.71, …} of the stages in `rows`, which have to be up to date."""
    metrics: dict[str, float] = {}
    for row in rows:
        select = _SELECT.get(str(row.meta.get("report")))
        if select is None:
            continue
        kind, _, name = row.stage.partition("@")
        figures = _read(root / "metrics" / kind / f"{name}.json")
        metrics |= {
            f"{name}/{key}": float(value)
            for key, value in select(figures)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        }
    return metrics


def _accuracy(figures: Mapping[str, Any]) -> Figures:
    for decoding in ("greedy", "sampled"):
        yield f"accuracy.{decoding}", _at(figures, "heldout", decoding, "accuracy")
        yield f"score.{decoding}", _at(figures, "score", decoding)


def _reward_model(figures: Mapping[str, Any]) -> Figures:
    yield "pair_accuracy", _at(figures, "accuracy", "share")


def _verifier(figures: Mapping[str, Any]) -> Figures:
    for arm in _mapping(figures.get("arms")):
        yield f"agreement.{arm}", _at(figures, "arms", arm, "seen", "accuracy")


def _matches(figures: Mapping[str, Any]) -> Figures:
    matches = figures.get("matches")
    for match in matches if isinstance(matches, list) else ():
        for result in ("win", "lose"):
            value = _at(match, result)
            share = value.get("share") if isinstance(value, Mapping) else value
            yield f"{_at(match, 'first')}.{result}.{_at(match, 'second')}", share


def _policy(figures: Mapping[str, Any]) -> Figures:
    """Of an assessed policy, every figure that is a number by itself, or a mean."""
    for name, value in figures.items():
        yield name, value.get("mean") if isinstance(value, Mapping) else value


# by what the report shows of a stage's metrics (`meta: {report: …}`); the other parts are no evaluations
_SELECT: Mapping[str, Callable[[Mapping[str, Any]], Figures]] = {
    "accuracy": _accuracy,
    "reward_models": _reward_model,
    "verifiers": _verifier,
    "matches": _matches,
    "policies": _policy,
}


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = _mapping(value).get(key)
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return _mapping(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError):
        return {}
