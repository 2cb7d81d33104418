"""Options of the LLaMA-Factory layouts."""

from __future__ import annotations

from typing import Literal

from pipelines.corpora.preferences.pair_sources_params import PairSource


class LlamaFactoryParams(PairSource):
    """Rows {conversations, chosen, rejected} or {messages, label}; each row says by its columns which it
    is.
    """

    kind: Literal["llama_factory"] = "llama_factory"
