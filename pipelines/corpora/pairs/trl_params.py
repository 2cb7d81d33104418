"""Options of TRL's layouts of preference data."""

from __future__ import annotations

from typing import Literal

from pipelines.corpora.preferences.pair_sources_params import PairSource


class TrlParams(PairSource):
    """Columns prompt, chosen and rejected, or prompt, completion and label; text or lists of turns."""

    kind: Literal["trl"] = "trl"
