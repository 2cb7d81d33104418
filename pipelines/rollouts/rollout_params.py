"""Parameters of sampling. The log-probs that an engine reports are those of the distribution these settings
describe.
"""

from __future__ import annotations

from pydantic import Field

from pipelines.settings import Settings


class SamplingParams(Settings):
    """How one token is drawn, and how many."""

    temperature: float = Field(
        1.0, ge=0, le=10, description="logits are divided by it; 0 takes the most likely token"
    )
    top_p: float = Field(
        1.0, gt=0, le=1, description="smallest set of tokens with at least this probability; 1 is off"
    )
    top_k: int = Field(0, ge=0, description="this many most likely tokens; 0 is off")
    max_new_tokens: int = Field(32, ge=1, description="longest response, end token included")
