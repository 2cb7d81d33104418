"""Parameters of the verifier's laboratory and of the gate that stands before reinforcement learning."""

from __future__ import annotations

from pydantic import Field

from pipelines.settings import Settings


class GateParams(Settings):
    """What a verifier must reach before a policy may learn from it (reward_bridge.md 7.5). A limit of 1
    (kappa: -1) is off.
    """

    min_kappa: float = Field(0.8, ge=-1, le=1, description="on held-out labels that no verifier made")
    max_unparsed: float = Field(0.005, ge=0, le=1, description="share of answers without a verdict")
    max_false_accept: float = Field(0.01, ge=0, le=1, description="share of all attacks that were accepted")
    max_attack: float = Field(0.01, ge=0, le=1, description="the same of the worst single attack string")
    max_false_reject: float = Field(
        0.2, ge=0, le=1, description="share of right answers in other words that were refused"
    )


class LaboratoryParams(Settings):
    """How many questions each attack is tried on."""

    cases: int = Field(200, ge=1, description="questions, spread over the subjects")
    gate: GateParams = GateParams()
