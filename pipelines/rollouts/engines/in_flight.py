"""How many rows of a call are in flight at once, and what their caches hold: one account for the engine and
for the memory prediction.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pipelines.models.free_memory import SLACK, available

BATCH = 1024  # rows in flight at most where nobody says how many
CPU_ROWS = 128  # rows of one worker: more would leave its cache, fewer make thin products
CPU_ROWS_MIN = 16  # below this all cores work on the same rows
SHARED_BY = 4  # rows of a prefix, on average, from which on holding it once pays


@dataclass(frozen=True)
class Request:
    """A call of an engine: `rows` continuations of `prefixes` prefixes, the longest of `prefix` tokens, with
    `new` tokens at most each.
    """

    rows: int
    prefixes: int
    prefix: int
    new: int


@dataclass(frozen=True)
class RolloutMemory:
    """What limits the rows in flight: the device, its threads, whether the forward is the lean one, and
    bytes of one cached token.
    """

    device: torch.device
    threads: int
    lean: bool
    token_bytes: int

    def in_flight(self, rows: int, batch: int) -> tuple[int, int]:
        """Returns (workers, rows of each at once) of a call for `rows` with at most `batch` in flight."""
        cpu = self.device.type == "cpu"
        # Another model's forward may not be safe to run twice at once.
        workers = self.threads if cpu and self.lean and rows >= CPU_ROWS_MIN * self.threads else 1
        at_once = max(1, batch // workers)
        if cpu:  # in even turns: a few rows left over would have steps of their own
            per_worker = -(-rows // workers)
            at_once = min(at_once, -(-per_worker // max(1, round(per_worker / CPU_ROWS))))
        return workers, at_once

    def cache_bytes(self, request: Request, batch: int) -> int:
        """Returns the bytes of the caches at their largest. A row that joins later starts after the longest
        one in flight, so its columns are twice as many; a prefix that many rows share is stored once.
        """
        workers, at_once = self.in_flight(request.rows, batch)
        flying = min(request.rows, workers * at_once)
        own = request.new * (2 if request.rows > flying else 1)
        if not self.lean or request.rows < SHARED_BY * request.prefixes:
            return self.token_bytes * flying * (request.prefix + own)
        families = min(request.prefixes, -(-flying * request.prefixes // request.rows) + workers)
        return self.token_bytes * (flying * own + families * request.prefix)

    def fitting_batch(self, request: Request, free: int) -> int:
        """BATCH, or the largest half, quarter, ... of it whose caches take no more than `free` bytes; at
        least 1.
        """
        batch = BATCH
        while batch > 1 and self.cache_bytes(request, batch) > free:
            batch //= 2
        return batch

    def batch(self, request: Request, processes: int = 1) -> int:
        """Returns how many rows fit into the free memory, of which each of `processes` takes its share."""
        return self.fitting_batch(
            request,
            int(available(self.device) * (1 - SLACK)) // (1 if self.device.type == "cuda" else processes),
        )


def token_bytes(config: object, dtype: torch.dtype) -> int:
    """Returns the bytes of one token's keys and values in all layers, in a cache of `dtype`."""
    text = config.get_text_config(decoder=True)  # type: ignore[attr-defined]
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    groups = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    return int(2 * dtype.itemsize * text.num_hidden_layers * groups * head)
