"""Options of the HH-RLHF layout."""

from __future__ import annotations

from typing import Literal

from pipelines.corpora.preferences.pair_sources_params import PairSource


class HhParams(PairSource):
    """Columns chosen and rejected, both whole dialogues."""

    kind: Literal["hh"] = "hh"
