"""The sources of a corpus: a reader by its name, and its options.

The options of `reader: table` are `TableSource` in readers/options.py; a reader without a record of its own
takes files (`FileSource`).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.raw.location_params import Location
from pipelines.settings import Seam, TaggedChoice

FileRole = Literal["train", "sft", "rl", "validation", "heldout"]
Level = Annotated[int, Field(ge=1, le=6)]
Normalise = Annotated[
    bool,
    Field(
        description=(
            "one kind of blank, singly, none at a line's ends, NFC, no invisible characters; false: texts as "
            "they are"
        )
    ),
]


class CorpusSource(TaggedChoice):
    """The value of `corpus.NAME.sources.SOURCE`."""

    tag: ClassVar[str] = "reader"
    suffix: ClassVar[str] = "Source"
    generates: ClassVar[bool] = False  # rows of every role, which the shares of the corpus split
    reader: str


class GeneratedSource(CorpusSource):
    """Problems that the project makes itself, of every role."""

    generates: ClassVar[bool] = True
    n_sft: int = Field(ge=1, le=1_000_000, description="demonstrations that are made")
    n_rl: int = Field(ge=1, le=1_000_000, description="RL problems that are made")
    n_validation: int = Field(ge=1, le=100_000, description="validation problems that are made")
    n_heldout: int = Field(ge=1, le=100_000, description="held-out problems that are made")

    @property
    def sizes(self) -> tuple[tuple[FileRole, Side, int], ...]:
        """(role, side of the split, problems) of each role."""
        return (
            ("sft", "train", self.n_sft),
            ("rl", "train", self.n_rl),
            ("validation", "validation", self.n_validation),
            ("heldout", "heldout", self.n_heldout),
        )


class SplitSource(Location, CorpusSource):
    """A table with splits: those of a data set from outside, or files."""

    splits: dict[FileRole, str] = Field(
        min_length=1, description="split of the dataset, or file relative to raw, for each role"
    )
    limits: dict[FileRole, Annotated[int, Field(ge=1)]] = Field(
        {}, description="rows kept of a role, by hash of the question; absent: all"
    )


class FileSource(CorpusSource):
    """A published set of problems in its published form."""

    files: dict[FileRole, str] = Field(
        min_length=1, description="file for each role, relative to raw; plain or .gz"
    )
    limits: dict[FileRole, Annotated[int, Field(ge=1)]] = Field(
        {}, description="rows kept of a role, by hash of the question; absent: all"
    )
    normalise: Normalise = False
    final_line: bool = Field(
        True,
        description=(
            "end demonstrations that do not have it with a line `#### answer`, which final_answer reads"
        ),
    )


READERS = Seam("pipelines.corpora.readers", "read(source, reading)", FileSource)
