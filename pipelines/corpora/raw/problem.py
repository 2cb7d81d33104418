"""What a reader yields: a question before it is cleaned, split and tokenised; and what a reader is given.

A reader is a module in pipelines/corpora/readers with `read(source, reading) -> Iterator[Problem]`. It raises
nothing for a bad row: it records it in the ledger and continues.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines.corpora.cleaning.split import Shares
from pipelines.corpora.raw.ledger import Ledger
from pipelines.models.chat import Loss
from pipelines.models.conversation import Conversation
from pipelines.sources.opening import Opener, unrecorded

# train: demonstrations and RL prompts at once, still to be split; sft and rl: one of the two, placed by the
# reader already
Role = Literal["train", "sft", "rl", "validation", "heldout"]


@dataclass(frozen=True)
class Problem:
    """One question. Its texts are those of the raw row, unchanged.

    `key`: what makes two problems the same one (empty: the question itself); rows with one key are never on
    two sides of a split. `conversation`: where the raw row holds turns, all of them, the demonstration
    included; `question` is then the transcript of what is asked, for comparison and for people. `loss`: which
    tokens of a demonstration are trained on: every turn of the assistant, the last, those from an index on,
    or (`text`) all tokens of a text without a prompt. `where`: file and row.
    """

    question: str
    answer: str
    role: Role
    subject: str
    solution: str | None = None
    level: int | None = None
    key: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    conversation: Conversation | None = None
    loss: Loss | Literal["text"] = "last"
    where: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True)
class Reading:
    """What a reader is given: the folder of its files, the ledger for bad rows, the shares by which keys are
    split, and the function that opens a data set from outside. `most`: rows of each split of a table that are
    read, for a look; None for all.
    """

    root: Path
    name: str
    seed: int
    shares: Shares
    ledger: Ledger
    setting: str = "corpus.<name>.raw"  # the parameter that names `root`
    open_source: Opener = unrecorded
    most: int | None = None

    def path(self, relative: str) -> Path:
        """Returns a file below the corpus' raw root (or the root itself). Raises FileNotFoundError, naming
        the parameter that points there.
        """
        path = self.root if self.root.is_file() and self.root.name == relative else self.root / relative
        if not path.exists():
            raise FileNotFoundError(
                f"source {self.name}: no file {path}; {self.setting} names the folder, the source names the "
                f"file in it"
            )
        return path
