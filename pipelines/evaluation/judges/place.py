"""Where a judge runs, and what it may load."""

from __future__ import annotations

from typing import NamedTuple

from pipelines.models.placement import Placement


class Place(NamedTuple):
    """Device and number type; `offline` forbids downloads, `trust_remote_code` allows a model to bring its own code."""

    placement: Placement
    offline: bool = True
    trust_remote_code: bool = False
