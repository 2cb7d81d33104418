"""Where a table is: files of the corpus, or a data set from outside (by Hugging Face id, path or installed
package).
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from pipelines.settings import Settings
from pipelines.sources.source_params import Named, Outside, check_revision


class Location(Settings):
    """Local files are inputs of the stage; a data set from outside is a stage source@NAME of its own, with
    its digests.
    """

    id: Annotated[Named | None, Outside("data")] = Field(
        None,
        description=(
            "a data set from outside: Hugging Face id, path, or {path|hub|package: …}; null: files of the "
            "corpus"
        ),
    )
    revision: str | None = Field(
        None,
        description="commit, tag or branch of the Hugging Face id; what is no commit is pinned when fetched",
    )
    config: str | None = Field(None, description="the data set's configuration")

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if self.id is None and (self.revision or self.config):
            raise ValueError("revision and config belong to a dataset id; local files have neither")
        check_revision(self.id, self.revision, "id")
        return self
