"""Parameters of distilling a verifier: supervised learning of one label, with negatives that no policy has
thought of yet.
"""

from __future__ import annotations

from pydantic import Field

from pipelines.rewards.models.options import AskingParams
from pipelines.settings import Settings
from pipelines.training.options import SupervisedParams


class NegativesParams(Settings):
    """Further rows, all but `capitals` with label 0, as shares of the judgements (reward_bridge.md 10.3.2).

    All 0: learn from judgements alone. The strings of the laboratory are none of them: a verifier that has
    seen its exam proves nothing.
    """

    openings: float = Field(
        0.1, ge=0, le=1, description="share: first lines of longer responses: an opening is no answer"
    )
    others: float = Field(0.1, ge=0, le=1, description="share: references of other questions of the subject")
    lists: float = Field(
        0.05, ge=0, le=1, description="share: the reference among others: naming all is no answer"
    )
    echoes: float = Field(0.05, ge=0, le=1, description="share: the question itself")
    noise: float = Field(
        0.05, ge=0, le=1, description="share: words of the set in random order, random characters, numbers"
    )
    swaps: float = Field(
        0.05,
        ge=0,
        le=1,
        description=(
            "share: right answers in other words than the reference, one word exchanged for another answer's"
        ),
    )
    capitals: float = Field(
        0.0, ge=0, le=1, description="share: judged responses again in capitals, with their own label"
    )


class VerifierTrainParams(SupervisedParams):
    """The `verifier` section of params.yaml."""

    asking: AskingParams = AskingParams()
    negatives: NegativesParams = NegativesParams()
    distinct: bool = Field(
        True, description="of judgements with equal question, reference, last line and label keep one"
    )
    max_error_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="the stage stops when more judgements cannot be asked (too long, no tokens)",
    )
