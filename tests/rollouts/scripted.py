"""An engine that follows a script instead of a model: what it draws depends on the key and position alone, as
the interface demands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import torch

from pipelines.rollouts.counter import mix
from pipelines.rollouts.forest import Completion, Finish

EOS = 0


def never_ends(prefix: list[int], key: int, position: int) -> int:
    """Tokens 1 to 9."""
    return 1 + mix(key + position) % 9


class ScriptedEngine:
    """`script(prefix, key, position)` -> token; 0 is EOS. `calls` and `keeps` hold what every call was given;
    log-probs follow the token.
    """

    def __init__(
        self, script: Callable[[list[int], int, int], int] = never_ends, context: int = 10_000
    ) -> None:
        self.script, self.context = script, context
        config = SimpleNamespace(max_position_embeddings=context)
        config.get_text_config = lambda decoder: config
        self.model = SimpleNamespace(config=config)
        self.tokens = SimpleNamespace(
            decode=lambda ids: "".join("" if id == EOS else "\n" if id == 1 else str(id) for id in ids)
        )
        self.calls: list[list[list[int]]] = []
        self.keeps: list[bool] = []

    def generate(self, prefixes, keys, sampling, caps: Sequence[int] | None = None, keep: bool = False):
        self.calls.append([list(prefix) for prefix in prefixes])
        self.keeps.append(keep)
        limits = [
            min(cap, sampling.max_new_tokens) for cap in caps or [sampling.max_new_tokens] * len(prefixes)
        ]
        return [
            [self._one(prefix, key, limit) for key in row]
            for prefix, row, limit in zip(prefixes, keys, limits, strict=True)
        ]

    def _one(self, prefix: list[int], key: int, limit: int) -> Completion:
        room = self.context - len(prefix)
        assert min(room, limit) > 0
        ids: list[int] = []
        while len(ids) < min(room, limit) and ids[-1:] != [EOS]:
            ids.append(self.script(prefix, key, len(ids)))
        finish = Finish.EOS if ids[-1] == EOS else Finish.CAP if len(ids) >= limit else Finish.CONTEXT
        return Completion(
            ids, torch.tensor([(id + 0.5) / 10 for id in ids]).log(), torch.zeros(len(ids)), finish
        )
