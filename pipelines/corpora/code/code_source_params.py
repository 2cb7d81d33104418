"""Where code problems come from: a published set in its published form, as a Hugging Face dataset or a local file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from pipelines.settings import Seam, Settings


class CodeSource(Settings):
    """One set of code problems."""

    reader: Annotated[str, Seam("pipelines.corpora.code", "convert(row, source)")] = Field(
        description="the form: mbpp, human_eval, apps, code_contests"
    )
    file: str | None = Field(None, description="JSONL, plain or .gz, relative to raw; null: the dataset `id`")
    id: str | None = Field(None, description="Hugging Face dataset id; null: a local file")
    revision: str | None = Field(None, description="commit of the id; required with id, since a branch moves")
    config: str | None = Field(None, description="the dataset's configuration")
    split: str = Field("train", description="the dataset's split")
    exclude: tuple[str, ...] = Field((), description="ids of problems that are left out: those whose own solution fails")

    @model_validator(mode="after")
    def _one_place(self) -> CodeSource:
        if (self.file is None) == (self.id is None):
            raise ValueError("either file or id must be given")
        if self.id is not None and self.revision is None:
            raise ValueError(f"revision: pin the commit of {self.id}; a branch name would let the data change unseen")
        return self
