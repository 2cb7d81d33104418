"""Options of the estimators of advantages, of whitening and of reward shaping."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.settings import Choice, Settings


class WhiteningParams(Settings):
    """Standardisation of advantages over tokens that carry loss."""

    how: Literal["none", "standard", "population", "scale_only"] = Field(
        "none",
        description="nothing; mean 0 and unbiased variance 1 (SPO); the same with the population's "
        "(PPO, REINFORCE++); "
        "division by the unbiased standard deviation alone, which keeps every sign",
    )
    epsilon: float = Field(
        1e-8,
        ge=0,
        le=1,
        description=(
            "added to the variance (standard, scale_only) or the standard deviation (population; PPO uses "
            "1e-5)"
        ),
    )


class OverlongParams(Settings):
    """DAPO's soft punishment of long responses (entropy.md 1.5); the paper has limit 20480 and cache 4096."""

    limit: int | None = Field(
        None,
        ge=1,
        description="response tokens at which the whole punishment of -1 is reached; null: max_new_tokens",
    )
    cache: int | None = Field(
        None,
        ge=1,
        description="tokens below the limit over which it grows from 0; null: a fifth of the limit",
    )

    @model_validator(mode="after")
    def _inside(self) -> Self:
        if self.cache is not None and self.limit is not None and self.cache > self.limit:
            raise ValueError(f"overlong.cache {self.cache} is larger than overlong.limit {self.limit}")
        return self

    def lengths(self, max_new_tokens: int) -> tuple[int, int]:
        """Limit and cache in tokens for responses of at most `max_new_tokens`; the cache lies within the
        limit.
        """
        limit = self.limit or max_new_tokens
        return limit, min(limit, self.cache or max(1, limit // 5))


class ShapingParams(Settings):
    """Applied in the order of the fields; the defaults change nothing."""

    wrong_score: float | None = Field(
        None, description="score of a wrong verdict instead of the checker's, such as -1; null keeps it"
    )
    bias: float = Field(0.0, description="subtracted from every score")
    scale: float = Field(1.0, description="then multiplied with it, such as 10 for code (dpo_vs_ppo.md 3.2)")
    overlong: OverlongParams | None = Field(
        None, description="soft punishment of long responses, added; null for none"
    )
    clip: float | None = Field(
        None,
        gt=0,
        description="largest magnitude of the sum, such as 20 (dpo_vs_ppo.md 3.3); null for no limit",
    )
    normalise: Literal["none", "batch", "group"] = Field(
        "none", description="z-score over all responses of the iteration, over those to each prompt, or not"
    )
    min_std: float = Field(
        1e-6,
        ge=1e-6,
        description=(
            "a population standard deviation below this gives zeros; .02 suits soft rewards in groups"
        ),
    )


class BatchParams(Choice):
    """REINFORCE and REINFORCE++; their baseline is the normalisation of rewards or the whitening of
    advantages over the batch.
    """

    kind: str = "batch"
    returns: Literal["sequence", "to_go"] = Field(
        "sequence",
        description=(
            "a token's return: the whole response's (REINFORCE), or what follows from it on (REINFORCE++)"
        ),
    )


class GaeParams(Choice):
    """PPO's credit; the defaults are those of dpo_vs_ppo.md 5.2."""

    kind: str = "gae"
    gamma: float = Field(1.0, ge=0, le=1, description="discount per token")
    lam: float = Field(
        1.0, ge=0, le=1, description="1: returns minus values; 0: one-step temporal differences"
    )


class GroupParams(Choice):
    """GRPO and DAPO; the defaults are those of entropy.md U1."""

    kind: str = "group"
    spread: Literal["population", "sample", "none"] = Field(
        "sample",
        description="divisor of a group's advantages: standard deviation over n, over n - 1, or none",
    )
    epsilon: float = Field(1e-6, ge=0, le=1, description="added to the standard deviation")


class LeaveOneOutParams(Choice):
    """RLOO. The default is that of reward_bridge.md 5.2."""

    kind: str = "leave_one_out"
    kl: Literal["inside", "after"] = Field(
        "inside",
        description=(
            "where a KL in the reward enters: in the rewards that are compared, or added after the baseline"
        ),
    )


class SegmentTreeParams(Choice):
    """A segment against its siblings."""

    kind: Literal["segment_tree"] = "segment_tree"
    spread: Literal["none", "population"] = Field(
        "none", description="divisor of the advantages: none, or the siblings' standard deviation over n"
    )
    spread_epsilon: float = Field(1e-8, ge=0, le=1, description="added to the standard deviation")
