"""Parameters of a round of preferences: what the policy's own samples are, who judges them, and which become
pairs.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import Field

from pipelines.corpora.pairing_params import BestWorst, PairingParams
from pipelines.rewards.reward_params import JUDGE, ErrorShare
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.settings import Choice, Settings


class RoundSampling(SamplingParams):
    """How a token is drawn. No ratio of probabilities is taken, so that top-k may be on (dpo_vs_ppo.md
    4.2).
    """

    temperature: float = Field(1.0, gt=0, le=10, description="logits are divided by it")
    top_k: int = Field(200, ge=0, description="this many most likely tokens; 0 is off")
    max_new_tokens: int = Field(256, ge=1, description="longest response, end token included")


class RoundParams(Settings):
    """The sampling half of a round of iterative DPO (dpo_vs_ppo.md 4.2; dpo_vs_ppo.md 4.3 for code)."""

    prompts: int = Field(
        0, ge=0, description="prompts that are sampled, evenly spread over the corpus's RL prompts; 0: all"
    )
    samples: int = Field(4, ge=2, le=1024, description="responses per prompt")
    sampling: RoundSampling = RoundSampling()
    reward: Annotated[Choice, JUDGE] = Field(
        default_factory=partial(JUDGE.choose, "reward_model"),
        description="what judges the responses: a model with its options, or a rule",
    )
    max_error_share: ErrorShare = 0.05
    pairing: PairingParams = Field(
        BestWorst(), description="how judged responses become pairs, and what is filtered out"
    )
