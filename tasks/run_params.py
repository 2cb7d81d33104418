"""Parameters of runs that train a model on a set of pairs: a section `<stage>.runs.<run>` of params.yaml,
laid over `<stage>.common`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.settings import Settings
from pipelines.training.preference_params import PairTrainParams, RankingParams
from tasks.seed_params import Seeded


class FromPairs(Settings):
    """The references that dvc.yaml makes inputs of. Both stand in the run itself, where dvc.yaml reads
    them.
    """

    start: str = Field(min_length=1, description="the model that the run starts from: a folder of models/")
    data: str = Field(min_length=1, description="the set of pairs: a key of the section preferences")


class DpoRun(Seeded, FromPairs, PairTrainParams):
    """`dpo.runs.<run>`; the start model is also the reference."""


class RankingRun(Seeded, FromPairs, RankingParams):
    """`reward_model.runs.<run>`, laid over `reward_model.common`."""

    kind: Literal["bradley_terry", "cost"] = Field(
        "bradley_terry",
        description="what scores higher: the preferred answer (dpo_vs_ppo.md 3.1), or the more harmful one, "
        "above 0 where it is harmful (dpo_vs_ppo.md 3.4), from pairs with safety labels",
    )
