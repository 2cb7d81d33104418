"""A rollout engine over several ranks: each continues a part of the prefixes, and every rank gets all
completions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pipelines.rollouts.forest import Completion, Finish
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.training.ranks import Ranks

PackedCompletions = tuple[list[tuple[list[int], Finish]], torch.Tensor, torch.Tensor]


class ShardedEngine:
    """`engine` with the prefixes divided. A completion depends on its prefix and key alone, so the tokens are
    those of one process.

    Everything but `generate` is the wrapped engine's own. All ranks must call `generate` with the same
    arguments.
    """

    def __init__(self, engine: Any, ranks: Ranks) -> None:
        object.__setattr__(self, "_engine", engine)
        object.__setattr__(self, "_ranks", ranks)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._engine, name, value)

    def generate(
        self,
        prefixes: Sequence[list[int]],
        keys: Sequence[Sequence[int]],
        sampling: SamplingParams,
        caps: Sequence[int] | None = None,
        **options: Any,
    ) -> list[list[Completion]]:
        """As the wrapped engine's. Each rank takes neighbours, since they often share a beginning, and about
        as many completions.
        """
        start, stop = block([len(row) for row in keys], self._ranks)
        if caps is not None:
            options["caps"] = caps[start:stop]
        mine = (
            self._engine.generate(prefixes[start:stop], keys[start:stop], sampling, **options)
            if stop > start
            else []
        )
        flat = [completion for family in mine for completion in family]
        everything = [
            completion for part in self._ranks.all_gather([_pack(flat)]) for completion in _unpack(part)
        ]
        families, position = [], 0
        for row in keys:
            families.append(everything[position : position + len(row)])
            position += len(row)
        return families


def block(counts: Sequence[int], ranks: Ranks) -> tuple[int, int]:
    """Completions wanted per prefix -> (start, stop) of this rank's prefixes. Blocks follow in rank order and
    are about equal.
    """
    total, before, edges = sum(counts), 0, [0] * (ranks.size + 1)
    for index, count in enumerate(counts):
        # A prefix belongs to the rank in whose share its middle lies.
        owner = min(ranks.size - 1, (2 * before + count) * ranks.size // max(1, 2 * total))
        edges[owner + 1] = index + 1
        before += count
    for rank in range(ranks.size):
        edges[rank + 1] = max(edges[rank], edges[rank + 1])
    edges[-1] = len(counts)
    return edges[ranks.index], edges[ranks.index + 1]


def _pack(completions: Sequence[Completion]) -> PackedCompletions:
    """Few large tensors instead of two small ones for each completion: pickling is paid per tensor."""
    empty = [torch.zeros(0)]
    return (
        [(completion.ids, completion.finish) for completion in completions],
        torch.cat([completion.logprobs for completion in completions] or empty),
        torch.cat([completion.entropy for completion in completions] or empty),
    )


def _unpack(packed: PackedCompletions) -> list[Completion]:
    heads, logprobs, entropy = packed
    lengths = [len(ids) for ids, _ in heads]
    parts = zip(heads, logprobs.split(lengths), entropy.split(lengths), strict=True)
    return [
        Completion(ids, token_logprobs, token_entropy, finish)
        for (ids, finish), token_logprobs, token_entropy in parts
    ]
