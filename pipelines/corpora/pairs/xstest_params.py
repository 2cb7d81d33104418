"""Options of the XSTest layout."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.corpora.preferences.pair_sources_params import PairSource


class XstestParams(PairSource):
    """Completions of several models, labelled as compliance, refusal or partial refusal."""

    kind: Literal["xstest"] = "xstest"
    partial: Literal["between", "drop"] = Field(
        "between",
        description=(
            "a partial refusal lies between compliance and refusal, and is unsafe on an unsafe prompt; or it "
            "is left out"
        ),
    )
