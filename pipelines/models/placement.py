"""Where tensors live and in which precision the forward runs. Weights stay float32: bfloat16 is the autocast
type of the forward only, because an update of 1e-6 would vanish in bfloat16 weights.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Placement:
    """A device and the type that matrix products run in there."""

    device: torch.device
    dtype: torch.dtype

    @classmethod
    def resolve(cls, device: str = "auto", dtype: str = "auto", threads: int = 0) -> Placement:
        """From the execution settings: `auto` takes a GPU when there is one, and bfloat16 on it. Sets torch's
        intra-op threads.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("execution.device is cuda, but torch sees no GPU; set it to auto or cpu")
        if threads:
            torch.set_num_threads(threads)
        place = torch.device(
            "cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"
        )
        if dtype == "auto":
            dtype = "bfloat16" if place.type == "cuda" else "float32"
        return cls(place, {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype])

    def autocast(self) -> AbstractContextManager:
        """Returns the context manager that every forward pass runs in."""
        return nullcontext() if self.dtype == torch.float32 else torch.autocast(self.device.type, self.dtype)

    def synchronize(self) -> None:
        """Wait for the device: a time that is measured without it measures launches."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
