"""Where a table lies: a Hugging Face dataset by id and pinned commit, or local files."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from pipelines.settings import Settings


class Location(Settings):
    """A dataset id must be pinned to a commit, since a branch moves."""

    id: str | None = Field(None, description="Hugging Face dataset id; null: local files")
    revision: str | None = Field(None, description="commit of the id; required with id, since a branch moves")
    config: str | None = Field(None, description="the dataset's configuration")

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if self.id is not None and self.revision is None:
            raise ValueError(f"revision: pin the commit of {self.id}; a branch name would let the data change unseen")
        if self.id is None and (self.revision or self.config):
            raise ValueError("revision and config belong to a dataset id; local files have neither")
        return self
