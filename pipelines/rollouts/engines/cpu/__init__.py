"""Sampling kernels for a CPU in float32, compiled by numba: an optional room of the engine.

`forward` gives prefill, decoding step and draw, the same functions as `engines.kernels` in less time. Where
numba cannot be imported, the engine runs by those of `engines.kernels` (TorchScript), and its numbers differ
by rounding.
"""

from __future__ import annotations

import functools
from types import ModuleType

import torch

LANES = 16  # floats of a vector: heads whose width is a whole number of them are sampled here


def kernels_for(device: torch.device, dtype: torch.dtype, width: int = LANES) -> ModuleType | None:
    """Returns the module `forward` where it can sample on `device`, with matrix products in `dtype` and heads
    of `width`; else None.
    """
    if device.type != "cpu" or dtype != torch.float32 or width % LANES:
        return None
    return _forward()


@functools.cache
def _forward() -> ModuleType | None:
    try:
        # on first use: numba takes a quarter of a second, which nothing but sampling needs
        from pipelines.rollouts.engines.cpu import forward
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("numba", "llvmlite"):
            raise
        return None
    return forward
