"""The processes that train one model together, as torchrun numbers them; alone, everything here is free and
imports nothing.

Every rank holds the same rollout data and computes credit, masks and denominators from the whole of it. What
is divided is sampling (counter keys make its tokens independent of who draws them) and the micro-batches'
forward and backward passes, so that the gradient is that of one process by construction.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor

from pipelines.models.placement import Placement

T = TypeVar("T")
Summable = TypeVar("Summable", float, Tensor)
# that a rank waits for another: verifiers may run long; a dead rank is the launcher's to notice
TIMEOUT = timedelta(hours=2)


@dataclass(frozen=True)
class Ranks:
    """This process is number `index` of `size`. Collective methods must be called by every rank, in the
    same order.
    """

    index: int = 0
    size: int = 1

    @classmethod
    def single(cls) -> Ranks:
        """One process."""
        return cls()

    @classmethod
    def join(cls, placement: Placement) -> Ranks:
        """Take the place that torchrun's environment (RANK, WORLD_SIZE, LOCAL_RANK) gives this process;
        without one it is alone.

        On a GPU the process takes device LOCAL_RANK, which `cuda` means from then on; objects travel over
        gloo, tensors over NCCL.
        """
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            return cls()
        import torch.distributed as dist

        on_gpu = placement.device.type == "cuda"
        if on_gpu:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        else:
            os.environ["DS_ACCELERATOR"] = "cpu"  # what DeepSpeed reads at its import
        if not dist.is_initialized():
            dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=TIMEOUT)
        return cls(dist.get_rank(), dist.get_world_size())

    def leave(self) -> None:
        """End the connection; the last thing that a rank does."""
        if self.size > 1:
            import torch.distributed as dist

            dist.destroy_process_group()

    @property
    def is_first(self) -> bool:
        """Whether this rank is the one that logs and writes."""
        return self.index == 0

    # -- dividing work ---------------------------------------------------------------------------------------

    def shard(self, items: Sequence[T]) -> list[T]:
        """Returns this rank's items: every size-th one, so that neighbours of similar length run at the same
        time. It may be empty.
        """
        return list(items[self.index :: self.size])

    def unshard(self, results: Sequence[T], count: int) -> list[T]:
        """results of this rank's `shard` of `count` items -> those of all items, in their order, on every
        rank.
        """
        parts = self._all_gather_object(list(results))
        return [parts[item % self.size][item // self.size] for item in range(count)]

    def micro_batches_per_rank(self, count: int) -> int:
        """Micro-batches that every rank runs when `count` are shared: a rank with fewer fills up with empty
        ones (ZeRO-3's passes are collective).
        """
        return -(-count // self.size)

    # -- collectives -----------------------------------------------------------------------------------------

    def all_gather(self, items: Sequence[T]) -> list[T]:
        """Returns the items of all ranks, concatenated in rank order, on every rank. They are sent as
        pickles.
        """
        return [item for part in self._all_gather_object(list(items)) for item in part]

    def sum(self, value: Summable) -> Summable:
        """Returns the sum over ranks, added in rank order, so that every rank gets the same bits. Tensors
        keep type, device and shape.
        """
        if self.size == 1:
            return value
        if isinstance(value, Tensor):
            import torch.distributed as dist

            parts = [torch.empty_like(value) for _ in range(self.size)]
            dist.all_gather(parts, value.detach().contiguous())
        else:
            parts = self._all_gather_object(value)
        return sum(parts[1:], start=parts[0])

    def any(self, flag: bool) -> bool:
        """Returns whether the flag is set on any rank: all ranks must act on what a single rank may learn,
        such as a signal.
        """
        return any(self._all_gather_object(flag))

    def broadcast_from_first(self, value: T) -> T:
        """Returns the first rank's value on every rank: for decisions by the clock, and for verdicts of
        verifiers that may time out.
        """
        if self.size == 1:
            return value
        import torch.distributed as dist

        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def barrier(self) -> None:
        """Return when every rank has come here."""
        if self.size > 1:
            self._all_gather_object(None)

    def _all_gather_object(self, value: T) -> list[T]:
        if self.size == 1:
            return [value]
        import torch.distributed as dist

        parts: list[T | None] = [None] * self.size
        dist.all_gather_object(parts, value)
        return parts  # type: ignore[return-value]
