"""What a judge of pairs may use besides its options."""

from __future__ import annotations

from typing import NamedTuple

from pipelines.models.placement import Placement
from pipelines.sources.opening import Opener, unrecorded


class PairJudgeContext(NamedTuple):
    """`placement`: device and number type; `trust_remote_code`: models may run their own code; `open_source`:
    opens a model from outside the project.
    """

    placement: Placement
    trust_remote_code: bool = False
    open_source: Opener = unrecorded
