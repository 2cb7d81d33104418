"""Options of pairing: how judged samples of one prompt become pairs; one record per kind."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipelines.settings import Settings


class _Pairing(Settings):
    finished_winner: bool = Field(
        True, description="only a response that the model ended itself can win; a cut one can lose"
    )


class BestWorst(_Pairing):
    """The response with the highest score against the one with the lowest: one pair per prompt (dpo_vs_ppo.md
    4.2).
    """

    kind: Literal["best_worst"] = "best_worst"
    gap: float = Field(1e-6, ge=0, description="scores that differ by no more than this give no pair")


class PassFail(_Pairing):
    """Passing responses against failing ones: up to `pairs` distinct pairs per prompt, drawn uniformly."""

    kind: Literal["pass_fail"] = "pass_fail"
    pairs: int = Field(2, ge=1, le=64, description="pairs per prompt at most")


class CodeRule(_Pairing):
    """As pass_fail for programs: where none passes, a solution of the data set wins; where none fails, there
    is no pair (dpo_vs_ppo.md 1.4). Programs are distinct by their source without comments and layout.
    """

    kind: Literal["code"] = "code"
    pairs: int = Field(2, ge=1, le=64, description="pairs per prompt at most")


PairingParams = Annotated[BestWorst | PassFail | CodeRule, Field(discriminator="kind")]
