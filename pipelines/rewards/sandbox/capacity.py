"""How many programs may run at a time within the machine's free memory."""

from __future__ import annotations

from pathlib import Path

import psutil

from pipelines.rewards.code.code_tests_params import SandboxLimits

MIB = 2**20
SHARE = 0.8  # of the memory that is free
GROUP = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")


def workers_that_fit(wanted: int, limits: SandboxLimits) -> int:
    """Returns the number of workers, from 1 to `wanted`, whose limits fit into SHARE of the free memory. Each
    has two sandboxes, for the program and for its tests.
    """
    per_worker = 2 * (limits.memory_mb + limits.tmp_mb + 1) * MIB
    return max(1, min(wanted, int(SHARE * _free() // per_worker)))


def _free() -> int:
    free = int(psutil.virtual_memory().available)
    try:
        most, used = (path.read_text("ascii").strip() for path in GROUP)
    except OSError:
        return free
    return free if most == "max" else min(free, int(most) - int(used))
