"""Parameters of the code reward: the value of a pass, the tests that count, and the limits of the sandbox."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipelines.settings import Choice, Settings


class SandboxLimits(Settings):
    """Limits of one program, all its processes together. A time-out is measured in CPU time, so that verdicts
    do not depend on the load of the machine; time without a wish to run has a limit of its own, twice as
    long, which stops programs that sleep or wait.
    """

    test_seconds: float = Field(
        4.0, gt=0, le=600, description="CPU seconds of one test (dpo_vs_ppo.md 1.4: 4 s)"
    )
    wall_seconds: float = Field(
        8.0, gt=0, le=1200, description="seconds that a program may sleep or wait in one test"
    )
    total_seconds: float = Field(
        60.0,
        gt=0,
        le=7200,
        description="seconds of CPU time, sleeping and waiting of all tests of one program",
    )
    memory_mb: int = Field(
        512, ge=64, description="memory of all its processes together, and address space of each, in MiB"
    )
    processes: int = Field(
        48,
        ge=2,
        le=1024,
        description="processes and threads that one program may have at a time, its own included",
    )
    file_mb: int = Field(16, ge=0, description="largest file, in MiB")
    files: int = Field(2000, ge=16, description="files and folders under the sandbox' own /tmp")
    tmp_mb: int = Field(64, ge=1, description="all files under the sandbox' own /tmp together, in MiB")
    output_kb: int = Field(
        4096, ge=1, description="standard output, or one returned value, in KiB; longer ones are wrong"
    )

    @model_validator(mode="after")
    def _ordered(self) -> SandboxLimits:
        if self.wall_seconds < self.test_seconds:
            raise ValueError(
                f"wall_seconds ({self.wall_seconds:g}) must be at least test_seconds ({self.test_seconds:g})"
            )
        return self


class CodeTestsParams(Choice):
    """The reward of a program that is run on its problem's tests (dpo_vs_ppo.md 3.2)."""

    kind: Literal["code_tests"] = "code_tests"
    reward: Literal["all_or_nothing", "shaped"] = Field(
        "all_or_nothing",
        description=(
            "10 if all tests pass, else 0; shaped: -1 compile error, -0.6 runtime error, -0.3 wrong, +1 all "
            "pass"
        ),
    )
    tests: Literal["all", "public", "hidden"] = Field(
        "all",
        description="training uses all; public tests only select submissions, hidden tests only score them",
    )
    stop_early: bool = Field(
        True, description="leave the tests after the first that fails undone; shaped always runs all"
    )
    modules: tuple[str, ...] = Field(
        ("numpy",),
        description=(
            "installed distributions that programs and tests may import beside the standard library, and no "
            "other"
        ),
    )
    limits: SandboxLimits = SandboxLimits()
    allow_unsandboxed: bool = Field(
        False,
        description=(
            "where bubblewrap cannot run, run programs without isolation: they can read and delete what you "
            "can"
        ),
    )
