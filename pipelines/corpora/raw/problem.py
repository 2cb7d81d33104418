"""What a reader yields: a question before it is split, cleaned and tokenised; and what a reader is given.

A reader is a module in pipelines/corpora/readers with `read(source, reading) -> Iterator[Problem]`. It raises
nothing for a bad row: it tells the ledger and goes on.
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
    """`key` is what makes two problems the same one (empty: the question itself): rows with one key never lie
    on two sides of a split. Its texts are those of the raw row, blank for blank. `conversation`: where the
    raw row holds turns, all of them, the demonstration included; `question` is then the transcript of what is
    asked, for comparing and for people. `loss`: what a demonstration teaches: every turn of the assistant,
    the last, those from a place on, or (`text`) all tokens of a text without a prompt. `where`: file and row.
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
    """Where a reader finds its files, how it reports bad rows, how keys are split, and what opens a data set
    from outside.
    """

    root: Path
    name: str
    seed: int
    shares: Shares
    ledger: Ledger
    setting: str = "corpus.<name>.raw"  # the parameter that names `root`
    open_source: Opener = unrecorded

    def path(self, relative: str) -> Path:
        """A file below the corpus' raw root (or the root itself); FileNotFoundError names the parameter that
        points there.
        """
        found = self.root if self.root.is_file() and self.root.name == relative else self.root / relative
        if not found.exists():
            raise FileNotFoundError(
                f"source {self.name}: no file {found}; {self.setting} names the folder, the source names the "
                f"file in it"
            )
        return found
