"""What the evaluations of a model measured: figures whose record says that they are of its very bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.provenance.history import History
from tasks.content import content_id

FOLDER = "metrics/evaluate"


@dataclass(frozen=True)
class Evaluation:
    """`name` of the run of evaluate, the set `data` that it asked, its `figures` as the stage wrote them."""

    name: str
    data: str
    figures: Mapping[str, Any]


def evaluations_of(root: Path, history: History, digest: str) -> list[Evaluation]:
    """Returns the evaluations of the model with this digest, in the order of their names. One whose file has
    changed since it was recorded, or that measured another state of the model, is left out.
    """
    found = []
    for path in sorted((root / FOLDER).glob("*.json")):
        recorded = history.current(path.relative_to(root).as_posix())
        if recorded is None or digest not in recorded[0].inputs.values():
            continue
        if content_id(path)[0] != recorded[1]:
            continue
        figures = json.loads(path.read_text("utf-8"))
        found.append(Evaluation(path.stem, str(figures.get("data")), figures))
    return found
