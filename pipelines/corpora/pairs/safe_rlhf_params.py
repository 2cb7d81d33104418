"""Options of the PKU-SafeRLHF layout."""

from __future__ import annotations

from typing import Literal

from pipelines.corpora.preferences.pair_sources_params import PairSource


class SafeRlhfParams(PairSource):
    """Two responses with both labels and a flag each."""

    kind: Literal["safe_rlhf"] = "safe_rlhf"
