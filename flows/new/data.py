"""The data that a user names: files, folders of files, `datasets` folders and ids, each split with its role
and its layout.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from flows.new.hints import way_out
from pipelines.corpora.cleaning.split import Shares
from pipelines.corpora.layouts import Layout, UnknownLayout, layout_of
from pipelines.corpora.raw.ledger import Ledger
from pipelines.corpora.raw.location_params import Location
from pipelines.corpora.raw.problem import Reading, Role
from pipelines.corpora.raw.rows import kind_of
from pipelines.corpora.raw.tables import SAVED, TABLES, table_rows
from pipelines.sources.manifest import SourceError
from pipelines.sources.opening import unrecorded
from pipelines.sources.source_params import HUB_ID

LOOKED_AT = 200  # first rows of a file, whose columns say its layout
ROLES: dict[Role, tuple[str, ...]] = {
    "heldout": ("heldout", "held", "test", "eval", "evaluation"),
    "validation": ("validation", "valid", "val", "dev"),
}


class NewError(ValueError):
    """What the user gave cannot be used; the message says why, and the way out."""


@dataclass(frozen=True)
class Part:
    """One file, or one split of a data set from outside. `folder`: where a file lies, None for a split;
    `id`: of the data set; `split`: the file's name, or the split's.
    """

    folder: Path | None
    id: str | None
    split: str
    role: Role
    layout: Layout

    @property
    def shown(self) -> str:
        return str(Path(self.id or self.folder or "") / self.split)

    @property
    def path(self) -> Path | None:
        return None if self.folder is None else self.folder / self.split

    def rows(self, ledger: Ledger) -> Iterator[tuple[str, Any]]:
        """Yields (place, row). Raises NewError where the file or the data set cannot be read at all."""
        yield from _rows(self.folder, self.id, self.split, ledger)


def parts_of(root: Path, named: list[str], cwd: Path) -> list[Part]:
    """Returns what `--data` names, files relative to `cwd`. Paths inside `root` come back relative to it,
    others absolute. Raises NewError, and UnknownLayout for rows of no known layout.
    """
    parts: list[Part] = []
    for value in named:
        path = Path(value).expanduser()
        path = path if path.is_absolute() else cwd / path
        if path.is_file():
            parts.append(_file(_inside(root, path)))
        elif path.is_dir():
            files = [] if _is_saved(path) else sorted(file for file in path.iterdir() if _is_table(file))
            found = [_file(_inside(root, file)) for file in files]
            parts += found or _splits(str(_inside(root, path)))
        elif _looks_like_id(value):
            parts += _splits(value)
        else:
            raise NewError(f"--data {value}: no such file or folder; looked in {path.parent}")
    if not any(part.role == "train" for part in parts):
        names = ", ".join(part.shown for part in parts)
        raise NewError(f"--data: all of {names} are held out by their names; name a file to train on too")
    return parts


def _inside(root: Path, path: Path) -> Path:
    """Returns a path relative to the project where it lies in it, else absolute. Links are kept."""
    path = Path(os.path.normpath(path))
    return path.relative_to(root) if path.is_relative_to(root) else path


def _is_table(path: Path) -> bool:
    return path.is_file() and kind_of(path) in TABLES and path.name[0] != "."


def _is_saved(folder: Path) -> bool:
    return (folder / SAVED).is_file() or any(folder.glob(f"*/{SAVED}"))


def _looks_like_id(value: str) -> bool:
    return bool(HUB_ID.fullmatch(value)) and value.count("/") == 1 and kind_of(Path(value)) not in TABLES


def _file(path: Path) -> Part:
    if kind_of(path) not in TABLES:
        raise NewError(f"{path}: a file that ends with {', '.join(TABLES)}, plain or .gz, is expected")
    return _part(path.parent, None, path.name, path.name[: path.name.lower().rindex(kind_of(path))])


def _splits(id: str) -> list[Part]:
    """Returns the splits of a `datasets` folder or id."""
    try:
        with unrecorded(id, "data") as opened:
            names = _split_names(opened.folder)
    except SourceError as error:
        if Path(id).is_dir():
            raise NewError(
                f"--data {id}: it has no file of {', '.join(TABLES)}, and `datasets` finds nothing in it"
            ) from error
        raise NewError(
            f"--data {id}: {error}\nWhat is not on this machine cannot be looked at: fetch it with `hf "
            f"download {id} --repo-type dataset`"
        ) from error
    return [_part(None, id, name, name) for name in names]


def _split_names(folder: Path) -> list[str]:
    if (folder / SAVED).is_file():
        return ["train"]
    if saved := sorted(path.parent.name for path in folder.glob(f"*/{SAVED}")):
        return saved
    from datasets import get_dataset_split_names

    try:
        return list(map(str, get_dataset_split_names(str(folder))))
    except (OSError, ValueError, RuntimeError) as error:
        raise NewError(
            f"{folder}: `datasets` reads no split of it ({error}); name one of its files"
        ) from error


def _part(folder: Path | None, id: str | None, split: str, name: str) -> Part:
    words = re.split(r"[^a-z]+", name.lower())
    role = next((role for role, names in ROLES.items() if any(word in names for word in words)), None)
    ledger = Ledger(split)
    rows = [row for _, row in islice(_rows(folder, id, split, ledger), LOOKED_AT)]
    where = str(Path(id or folder or "") / split)
    if ledger.bad >= len(rows):
        read = len(rows) + ledger.bad
        bad = f": {ledger.bad} of {read} rows cannot be read, {ledger.first[0]}" if ledger.bad else ""
        hint = (
            f"name its other splits: --data {id}/SPLIT" if folder is None else way_out(folder / split, ledger)
        )
        raise NewError(f"{where} holds {'few rows' if rows else 'no row'}{bad}; {hint}")
    return Part(folder, id, split, role or "train", layout_of(rows, where))


def _rows(folder: Path | None, id: str | None, split: str, ledger: Ledger) -> Iterator[tuple[str, Any]]:
    reading = Reading(folder or Path(), split, 0, Shares(0, 0), ledger, "--data")
    try:
        yield from table_rows(Location(id=id), reading, split)
    except UnknownLayout:
        raise
    except (OSError, ValueError) as error:
        raise NewError(str(error)) from error
