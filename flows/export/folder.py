"""`whetstone export MODEL --to folder`: the model's files as they are, lineage.json and a card beside
them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.export.card import CardFacts, card
from flows.export.licences import Licences
from flows.local_model import model_folder
from flows.provenance.evaluations import Evaluation, evaluations_of
from pipelines.models.tokenizer import Tokens
from tasks import durable
from tasks.checkpoint_lineage import NAME

CARD = "README.md"


class NotExported(ValueError):
    """The model cannot be exported as it was asked for; the text says why and the way out."""


@dataclass(frozen=True)
class Exportable:
    """A model with what is known about it. `record`: its lineage.json, if there is one."""

    facts: CardFacts
    record: Path | None

    @property
    def folder(self) -> Path:
        return self.facts.folder

    def write_beside(self, folder: Path) -> None:
        """Write the card and lineage.json."""
        (folder / CARD).write_text(card(self.facts), "utf-8")
        if self.record is not None:
            shutil.copyfile(self.record, folder / NAME)


def exportable(model: str, root: Path | None, licence: str | None, unverified: bool) -> Exportable:
    """Returns what is exported of `model`. Raises UnknownModel; NotExported where its lineage has problems,
    unless `unverified`.
    """
    folder = model_folder(model, root)
    record = next((path for path in (folder.parent / NAME, folder / NAME) if path.is_file()), None)
    ancestry: dict[str, Any] = {}
    evaluations: list[Evaluation] = []
    if root is not None and record is not None:
        from flows.provenance.lineage import Ancestry

        traced = Ancestry(root, str(folder.parent if folder.name == "model" else folder))
        ancestry = traced.as_json()
        evaluations = evaluations_of(root, traced.history, str(ancestry["subject"]["digest"]))
    if (problems := ancestry.get("problems")) and not unverified:
        shown = "\n".join(f"{row['path']}: {row['problem']}" for row in problems[:8])
        raise NotExported(
            f"{shown}\nthe record of {model} does not verify: mend it (`whetstone lineage {model}`), or "
            f"export with --unverified, and the card says so"
        )
    if not (folder / "tokens.json").is_file():
        raise NotExported(f"{folder} holds no tokens.json: it is no model that this project trained")
    name = folder.parent.name if folder.name == "model" else folder.name
    tokens, licences = Tokens.load(folder), Licences.of(root)
    facts = CardFacts(name, folder, tokens, licences, ancestry, evaluations, licence)
    return Exportable(facts, record)


def to_folder(exported: Exportable, target: Path) -> None:
    """Write the folder, whole or not at all. Raises NotExported where there is something already."""
    with new_folder(target) as scratch:
        copy_model(exported, scratch)


def copy_model(exported: Exportable, target: Path) -> None:
    for path in sorted(exported.folder.iterdir()):
        if path.is_file() and path.name not in (CARD, NAME):
            shutil.copyfile(path, target / path.name)
    exported.write_beside(target)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yields a folder that gets the name `target` when all in it is on the disk. Raises NotExported where
    there is something already.
    """
    target = target.absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise NotExported(f"{target} exists already: name another with --out, or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield scratch
        os.chmod(scratch, 0o755)  # mkdtemp lets nobody else read
        durable.sync_tree(scratch)
        durable.replace(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
