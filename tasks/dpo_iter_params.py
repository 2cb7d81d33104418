"""Parameters of a round of iterative DPO: what is sampled and judged, and the training on the pairs that come
of it.
"""

from __future__ import annotations

from pydantic import Field

from pipelines.settings import Choice
from pipelines.training.preference_params import PairTrainParams
from pipelines.training.preference_rounds_params import RoundParams


class RoundRun(RoundParams, PairTrainParams):
    """`dpo_iter.rounds.<k>`, laid over `dpo_iter.common`; dvc.yaml reads `start` and `scorer` in the round
    itself.
    """

    start: str = Field(
        min_length=1,
        description=(
            "the model that is sampled, the reference, and where training begins: of the round before"
        ),
    )
    scorer: str = Field(
        min_length=1,
        description=(
            "the model that judges: a run of reward_model.runs; where a rule judges, `start`'s name again"
        ),
    )

    @property
    def judge(self) -> Choice:
        """The reward, which is asked of `scorer` where a model gives it."""
        return (
            self.reward.model_copy(update={"model": self.scorer})
            if hasattr(self.reward, "model")
            else self.reward
        )
