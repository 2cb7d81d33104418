"""Whether a live model's weights have changed since an engine looked last."""

from __future__ import annotations

from typing import Any

import torch


def checksums(model: Any) -> list[int]:
    """Returns a sum over the bits of each parameter. An update changes it for certain in practice, and it
    costs one pass over the weights.

    Autograd's version counters do not do: fused optimisers leave them as they were.
    """
    integers = {2: torch.int16, 4: torch.int32, 8: torch.int64}
    sums = [
        parameter.detach().view(integers[parameter.element_size()]).sum(dtype=torch.int64)
        for parameter in model.parameters()
    ]
    return torch.stack(sums).tolist()
