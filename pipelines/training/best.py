"""The weights of the best validation step, kept beside those that go on learning, and part of the
checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.models import adapters
from pipelines.training.engine import Engine
from pipelines.training.ranks import Ranks

FILE = "best.json"


class BestWeights:
    """`step` (steps done; 0: none yet) and `score` of the best one; of equal scores the earlier stays.
    Weights lie on the CPU of the first rank, as a plain model's.
    """

    def __init__(self, ranks: Ranks = Ranks.single()) -> None:
        self.step, self.score = 0, float("-inf")
        self._ranks = ranks
        self._weights: list[dict[str, Tensor]] = []

    def offer(self, engines: Sequence[Engine], step: int, score: float) -> None:
        """Keep the weights of `engines` if `score` is above the best. Collective: every rank offers the
        same.
        """
        if not score > self.score:
            return
        self.step, self.score = step, score
        weights = []
        for engine in engines:
            with engine.gathered() as model:
                if self._ranks.is_first:
                    weights.append(
                        {
                            name: value.detach().cpu().clone().contiguous()
                            for name, value in adapters.plain_state(model).items()
                        }
                    )
        self._weights = weights

    def restore(self, model: Any, index: int = 0) -> None:
        """Give `model`, that of engine number `index` inside its `gathered()`, the kept weights; for saving
        it. First rank only.
        """
        own = model.state_dict()
        with torch.no_grad():
            for name, tensor in own.items():
                kept = self._weights[index].get(name.replace(".base_layer.", "."))
                if kept is not None:
                    tensor.copy_(kept)

    def save(self, folder: Path) -> None:
        """Write best.json and the weights."""
        from safetensors.torch import save_file

        facts = {"step": self.step, "score": self.score if self.step else None, "weights": len(self._weights)}
        (folder / FILE).write_text(json.dumps(facts), "utf-8")
        for index, weights in enumerate(self._weights):
            save_file(weights, str(folder / f"best-{index}.safetensors"))

    def load(self, folder: Path) -> None:
        """Take back what `save` wrote."""
        from safetensors.torch import load_file

        facts = json.loads((folder / FILE).read_text("utf-8"))
        self.step, self.score = facts["step"], float("-inf") if facts["score"] is None else facts["score"]
        mine = facts["weights"] if self._ranks.is_first else 0
        self._weights = [load_file(str(folder / f"best-{index}.safetensors")) for index in range(mine)]
