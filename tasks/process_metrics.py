"""CPU, memory and GPU use of a stage's process tree, sampled by the runner from outside.

So a stage's own code neither needs nor pays for it, and workers of torchrun or deepspeed are counted too.
"""

from __future__ import annotations

from typing import Any

import psutil


class ProcessTree:
    """Samples a process and all its descendants. CPU is a share of one core in percent since the previous
    sample (0 in the first).
    """

    def __init__(self, pid: int):
        self.pid = pid
        self._known: dict[int, psutil.Process] = {}
        self._gpus = _gpu_handles()

    def sample(self) -> dict[str, float]:
        """Returns {"cpu_percent", "memory_mb", "processes"} and per GPU {"gpu_0_percent", "gpu_0_memory_mb"};
        empty once the tree is gone.
        """
        try:
            root = self._known.get(self.pid) or psutil.Process(self.pid)
            tree = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return {}
        self._known = {process.pid: self._known.get(process.pid, process) for process in tree}
        cpu = memory = count = 0.0
        for process in self._known.values():
            try:
                with process.oneshot():
                    cpu += process.cpu_percent()
                    memory += process.memory_info().rss
                    count += 1
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return (
            {"cpu_percent": cpu, "memory_mb": memory / 2**20, "processes": count, **self._gpu_sample()}
            if count
            else {}
        )

    def _gpu_sample(self) -> dict[str, float]:
        """Returns figures of whole GPUs: NVML shows other containers' processes under other ids, so that
        processes cannot be told apart.
        """
        result: dict[str, float] = {}
        for index, (nvml, handle) in enumerate(self._gpus):
            try:
                result[f"gpu_{index}_percent"] = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
                result[f"gpu_{index}_memory_mb"] = nvml.nvmlDeviceGetMemoryInfo(handle).used / 2**20
            except nvml.NVMLError:
                continue
        return result


def _gpu_handles() -> list[tuple[Any, Any]]:
    """Returns (NVML, handle) for each GPU; empty without the package (nvidia-ml-py) or a driver."""
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        return [
            (pynvml, pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(pynvml.nvmlDeviceGetCount())
        ]
    except pynvml.NVMLError:
        return []
