"""Columns of training rows as a few tensors: thousands of small ones would make every checkpoint slow.

A column holds one field of all rows. What comes back equals what was stored bit for bit; views are stored
without the storage they share.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor


def pack(column: Sequence[Any], name: str) -> dict[str, Any]:
    """Values of one field -> plain data. Raises TypeError naming the field when a value is of no known
    kind.
    """
    present = [value for value in column if value is not None]
    packed: dict[str, Any] = {"present": [value is not None for value in column]}
    if all(isinstance(value, (int, float, str)) for value in present):
        return packed | {"kind": "plain", "values": present}
    if all(isinstance(value, Tensor) and value.dim() == 1 for value in present):
        return packed | {
            "kind": "tensor",
            "lengths": [len(value) for value in present],
            "values": torch.cat(present).cpu(),
        }
    makers = {type(value) for value in present}
    if len(makers) == 1 and makers <= {list, tuple}:
        kind = makers.pop().__name__
        lengths, flat = [len(value) for value in present], list(chain.from_iterable(present))
        if all(type(item) is int for item in flat):  # not bool, which would come back as int
            return packed | {
                "kind": kind,
                "lengths": lengths,
                "values": torch.tensor(flat, dtype=torch.int64),
            }
        return packed | {"kind": kind, "lengths": lengths, "values": pack(flat, name)}
    raise TypeError(
        f"field {name} of a training row holds {sorted(type(value).__name__ for value in present[:1])}, "
        f"which is not stored"
    )


def unpack(packed: dict[str, Any]) -> list[Any]:
    """Returns the column that was passed to `pack`."""
    kind, values = packed["kind"], packed["values"]
    if kind == "plain":
        present_values = iter(values)
    elif kind == "tensor":
        present_values = iter(part.clone() for part in torch.split(values, packed["lengths"]))
    else:
        items = iter(unpack(values) if isinstance(values, dict) else values.tolist())
        maker = {"list": list, "tuple": tuple}[kind]
        present_values = iter([maker(next(items) for _ in range(length)) for length in packed["lengths"]])
    return [next(present_values) if here else None for here in packed["present"]]
