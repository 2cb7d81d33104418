"""Options of the PubMedQA reader."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.settings import Choice


class PubmedqaParams(Choice):
    """Abstracts are left out either way: the question must stand alone."""

    kind: Literal["pubmedqa"] = "pubmedqa"
    reference: Literal["decision", "conclusion"] = Field(
        "decision", description="yes/no/maybe, or the abstract's concluding sentences"
    )
