"""How much memory a process can still take."""

from __future__ import annotations

from pathlib import Path

import torch

SLACK = 0.1  # of the available memory is left to fragmentation and to what nobody counts


def available(device: torch.device) -> int:
    """Returns the bytes that this process can still allocate: free memory of the GPU and of torch's pool, or
    of the machine and its control group.
    """
    if device.type == "cuda":
        pooled = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + pooled
    import psutil

    free = psutil.virtual_memory().available
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.stat")
    if limit.exists() and used.exists() and limit.read_text().strip() != "max":
        held = dict(line.split() for line in used.read_text().splitlines())
        free = min(free, int(limit.read_text()) - int(held.get("anon", 0)))
    return max(0, free)
