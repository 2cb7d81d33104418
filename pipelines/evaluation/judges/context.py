"""Where a judge runs, and what it may load."""

from __future__ import annotations

from typing import NamedTuple

from pipelines.models.placement import Placement
from pipelines.sources.opening import Opener, unrecorded


class PairJudgeContext(NamedTuple):
    """Device and number type; `trust_remote_code` allows a model to bring its own code, `open_source` finds
    it.
    """

    placement: Placement
    trust_remote_code: bool = False
    open_source: Opener = unrecorded
