"""Options of the layouts of preference data. The kinds that pair judged samples have files of their own: they
import the rules of pairing, which no layout needs.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipelines.corpora.preferences.pair_sources_params import PairSource
from pipelines.settings import Settings


class BeavertailsParams(PairSource):
    """BeaverTails: single responses, each with a safety flag."""

    kind: Literal["beavertails"] = "beavertails"


class HhParams(PairSource):
    """HH-RLHF: columns chosen and rejected, both complete dialogues."""

    kind: Literal["hh"] = "hh"


class LlamaFactoryParams(PairSource):
    """LLaMA-Factory: rows {conversations, chosen, rejected} or {messages, label}; the columns of a row say
    which layout it has.
    """

    kind: Literal["llama_factory"] = "llama_factory"


class PandalmParams(PairSource):
    """PandaLM: two responses and the labels of three annotators."""

    kind: Literal["pandalm"] = "pandalm"
    agreement: int = Field(2, ge=2, le=3, description="annotators that must agree; 2: the majority, 3: all")


class SafeRlhfParams(PairSource):
    """PKU-SafeRLHF: two responses with a helpfulness label, a safety label and a safety flag each."""

    kind: Literal["safe_rlhf"] = "safe_rlhf"


class PairColumns(Settings):
    """The columns of the table. A dot goes into nested columns. Prompt and answers are text or lists of chat
    turns.
    """

    prompt: str | None = Field("prompt", description="null: the turns of `chosen` before its last one")
    chosen: str = Field("chosen", description="the preferred answer, or the dialogue that ends with it")
    rejected: str = Field("rejected", description="the other answer, or the dialogue that ends with it")
    label: str | None = Field(
        None, description="which of the two is preferred, by `labels`; null: always `chosen`"
    )
    key: str | None = Field(
        None, description="rows with an equal value stay on one side of the split; null: the prompt"
    )
    chosen_safe: str | None = Field(
        None, description="whether the answer under `chosen` is safe: true or false"
    )
    rejected_safe: str | None = Field(None, description="whether the answer under `rejected` is safe")
    safer: str | None = Field(
        None, description="which of the two is safer, by `labels`; null: unknown, or derived from the flags"
    )


class PreferenceLabels(Settings):
    """The values of a label column for each verdict, as text."""

    chosen: tuple[str, ...] = Field(
        ("0", "chosen"), description="the answer under `chosen` is preferred, or safer"
    )
    rejected: tuple[str, ...] = Field(("1", "rejected"), description="the answer under `rejected` is")
    tie: tuple[str, ...] = Field(("tie",), description="such rows are removed and counted")


class TableParams(PairSource):
    """Any table of pairs, with a mapping of columns."""

    kind: Literal["table"] = "table"
    columns: PairColumns = PairColumns()
    labels: PreferenceLabels = PreferenceLabels()

    @model_validator(mode="after")
    def _flags(self) -> TableParams:
        if (self.columns.chosen_safe is None) != (self.columns.rejected_safe is None):
            raise ValueError("columns.chosen_safe and columns.rejected_safe must both be named, or neither")
        if self.columns.safer and not self.columns.chosen_safe:
            raise ValueError(
                "columns.safer needs columns.chosen_safe and columns.rejected_safe: the merge rule reads all "
                "three"
            )
        return self


class TrlParams(PairSource):
    """TRL: columns prompt, chosen and rejected, or prompt, completion and label; text or lists of turns."""

    kind: Literal["trl"] = "trl"


class XstestParams(PairSource):
    """XSTest: completions of several models, labelled as compliance, refusal or partial refusal."""

    kind: Literal["xstest"] = "xstest"
    partial: Literal["between", "drop"] = Field(
        "between",
        description=(
            "between: a partial refusal ranks between compliance and refusal, and is unsafe on an unsafe "
            "prompt; drop: it is left out"
        ),
    )
