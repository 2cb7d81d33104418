"""Random numbers by counter: the uniform of a token is a hash of (run seed, iteration, prompt, path,
position) and of nothing else.

No generator state exists, so a sample does not depend on how prompts are batched, and a resumed run draws the
same numbers. The mixing function is splitmix64's finaliser (Steele, Lea, Flood 2014).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def mix(value: int) -> int:
    """Returns a 64-bit bijection whose output bits each depend on all input bits."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * _FIRST) & _MASK
    value = ((value ^ (value >> 27)) * _SECOND) & _MASK
    return value ^ (value >> 31)


def root_key(seed: int, iteration: int, prompt: str) -> int:
    """Returns the key of a prompt's root. `iteration` may be any integer; evaluations use negative ones."""
    return int.from_bytes(
        blake2b(f"{seed}\x00{iteration}\x00{prompt}".encode(), digest_size=8).digest(), "little"
    )


def child_key(key: int, index: int) -> int:
    """Returns the key of the `index`-th continuation of the node with `key`."""
    return mix(key + (index + 1) * _GOLDEN)


def state_key(key: int, ids: Sequence[int]) -> int:
    """Returns the key of side rollouts from the state that the tokens `ids` lead to from the node with `key`.

    A hash of its own, so that their keys are none of the node's children; it depends on the tokens alone, not
    on which sample has them.
    """
    return int.from_bytes(
        blake2b(array("q", ids).tobytes(), digest_size=8, key=key.to_bytes(8, "little")).digest(), "little"
    )


def uniforms(keys: Tensor, positions: Tensor | int) -> Tensor:
    """keys (N,) int64, positions (N,) int64 or one int -> (N,) float32 in [0, 1), multiples of 2^-24."""
    step = torch.as_tensor(positions, dtype=torch.int64, device=keys.device) + 1
    value = keys + step * _signed(_GOLDEN)  # int64 products wrap, as the 64-bit arithmetic of `mix` does
    value = (value ^ _shift(value, 30)) * _signed(_FIRST)
    value = (value ^ _shift(value, 27)) * _signed(_SECOND)
    return _shift(value ^ _shift(value, 31), 40).to(torch.float32) * 2.0**-24


def key_tensor(keys: list[int], device: torch.device | str = "cpu") -> Tensor:
    """64-bit keys as int64, same bits."""
    return torch.tensor([_signed(key) for key in keys], dtype=torch.int64, device=device)


def _shift(value: Tensor, bits: int) -> Tensor:
    """Logical right shift; torch's own is arithmetic."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
