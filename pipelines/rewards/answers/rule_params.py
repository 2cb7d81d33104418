"""Limits of the processes in which rules compare mathematics."""

from __future__ import annotations

from pydantic import Field

from pipelines.settings import Settings


class WorkerParams(Settings):
    """Limits of one comparison, and how many run at a time (which changes no verdict)."""

    seconds: float = Field(
        2.0,
        gt=0,
        le=60,
        description="processor seconds one pair may take before its process is killed: an error verdict",
    )
    memory_mb: int = Field(1024, ge=256, description="address space of the process that compares")
    processes: int = Field(2, ge=1, le=64)
