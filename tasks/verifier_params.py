"""Parameters of training a verifier, of its report, and of the gate."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipelines.evaluation.laboratory_params import LaboratoryParams
from pipelines.rewards.models.options import VerifierParams
from pipelines.rewards.reward_params import JUDGE, MAYBE_JUDGE
from pipelines.settings import Settings
from pipelines.training.verifier_params import VerifierTrainParams
from tasks.seed_params import Seeded


class VerifierRun(Seeded, VerifierTrainParams):
    """`verifier.runs.<run>`, laid over `verifier.common`; dvc.yaml reads `start` and `data` in the run
    itself.
    """

    start: str = Field(min_length=1, description="the model that learns to judge: a folder of models/")
    data: str = Field(min_length=1, description="the judgements: a key of the section judgements")


class RuleArm(Settings):
    """A rule that is compared with the verifier."""

    rule: Annotated[str, JUDGE] = Field(description="a module of pipelines/rewards with `check`")
    attacked: bool = Field(True, description="it meets the laboratory's attacks too")


class VerifierReportParams(Settings):
    """The section verifier_report: every verifier is examined alike, and compared with rules on the same
    responses.
    """

    reading: VerifierParams = Field(
        VerifierParams(), description="how it is read while it is examined; the model is each stage's own"
    )
    rules: tuple[RuleArm, ...] = Field(
        (RuleArm(rule="containment"), RuleArm(rule="jaccard")), description="judge the same responses"
    )
    exact: Annotated[str | None, MAYBE_JUDGE] = Field(
        None, description="the sets' exact checker: says which trial is an attack; null: none"
    )
    laboratory: LaboratoryParams = LaboratoryParams()
