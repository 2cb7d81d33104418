"""Trained results that must not count are kept by name below .whetstone/aside, with the reason. They are
never fresh, and removed only on request.

A stage's result is put aside when its inputs, parameters or code changed while it ran, and when it read
something that its digest does not contain. An entry is the stage's work directory: `aside.json` (the reason),
`spec.json` (the specification), `outs/` (weights, curve, metrics under their own names), `checkpoints/`.
`whetstone aside` lists, evaluates and removes entries; `whetstone lineage` explains a model in one.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows.workspace import STATE, read_json, write_json
from tasks.checkpoint_lineage import NAME, describe
from tasks.publish import DONE, in_place
from tasks.reads import VIOLATIONS
from tasks.stage import Spec

FOLDER, NOTE = "aside", "aside.json"


@dataclass(frozen=True)
class AsideEntry:
    """One entry. `models`: folders with weights, relative to the project's root; `when`: seconds since
    1970.
    """

    name: str
    stage: str
    key: str
    why: str
    when: float
    models: tuple[str, ...] = ()
    bytes: int = 0


class UnknownEntry(ValueError):
    """No entry has this name."""


def entries(root: Path) -> list[AsideEntry]:
    """Returns all entries, oldest first."""
    result = []
    for note in (root / STATE / FOLDER).glob(f"*/{NOTE}"):
        value = read_json(note)
        if value:
            folder = note.parent
            sizes = sum(
                file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink()
            )
            models = tuple(
                sorted(
                    path.relative_to(root).as_posix()
                    for path in folder.glob("outs/models/*/model")
                    if path.is_dir()
                )
            )
            result.append(
                AsideEntry(
                    folder.name, value["stage"], value["key"], value["why"], value["when"], models, sizes
                )
            )
    return sorted(result, key=lambda item: item.when)


def entry(root: Path, name: str) -> AsideEntry:
    """Returns the entry called `name`. Raises UnknownEntry, which lists the names that there are."""
    known = {item.name: item for item in entries(root)}
    if name not in known:
        raise UnknownEntry(
            f"nothing is kept aside as {name}; "
            + (f"there is {', '.join(known)}" if known else "there is nothing")
        )
    return known[name]


def remove(root: Path, name: str) -> None:
    """Delete an entry, on the user's request only. Raises UnknownEntry."""
    shutil.rmtree(root / STATE / FOLDER / entry(root, name).name)


def keep(root: Path, spec: Spec, why: str) -> Path | None:
    """Move a stage's work directory and the outputs it has published aside. Returns the new folder, or None
    where there are neither weights nor a checkpoint to keep.

    A kill in between leaves a work directory with the note in it, which `mend` moves later.
    """
    work = Path(spec.work)
    published = in_place(work, root)
    if not any(out.startswith("models/") for out in published) and not trained(work):
        return None
    write_json(
        work / NOTE,
        {"stage": spec.stage, "key": spec.key, "why": why, "when": time.time(), "published": published},
    )
    return mend(root, work)


def mend(root: Path, work: Path) -> Path | None:
    """Finish moving aside a work directory that holds a note; returns its new folder, or None when it holds
    none.
    """
    note = read_json(work / NOTE)
    if not note:
        return None
    (work / DONE).unlink(missing_ok=True)
    for out in note["published"]:
        target = work / "outs" / out
        if (root / out).exists() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(root / out, target)
    for model in work.glob("outs/models/*/model"):
        record = model.with_name(NAME)
        value = read_json(record) or _described(work, model)
        write_json(record, {**value, "aside": {"why": note["why"], "when": note["when"]}})
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(note["when"]))
    target = root / STATE / FOLDER / f"{work.name}-{stamp}"
    while target.exists():
        target = target.with_name(target.name + "-again")
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(work, target)
    return target


def _described(work: Path, model: Path) -> dict[str, Any]:
    """Returns the record of a model whose stage was stopped before it wrote one; empty when there is nothing
    to describe.
    """
    try:
        return describe(Spec.read(work / "spec.json"), model, {}, 0.0)
    except (OSError, ValueError):
        return {}


def trained(work: Path) -> bool:
    """Returns whether a work directory holds weights or a checkpoint."""
    return any(work.glob("checkpoints/*")) or any(work.glob("outs/models/*/model/*"))


def refused(work: Path) -> str:
    """Returns what the stage's processes read without permission; empty when there is nothing."""
    try:
        return "; ".join((work / VIOLATIONS).read_text("utf-8").splitlines())
    except OSError:
        return ""


def clear(root: Path, spec: Spec) -> Path | None:
    """Move aside what an earlier run left in the work directory, if a stage must not resume from it. Returns
    where it was moved, or None.
    """
    work = Path(spec.work)
    target = mend(root, work)
    why = refused(work)
    if why:
        target = keep(root, spec, why) or target
        (work / VIOLATIONS).unlink(missing_ok=True)
    return target


def kept_message(root: Path, folder: Path | None) -> str:
    """Returns the sentence that says where a result was kept, for the end of a message; empty without a
    folder.
    """
    return f" What was trained is kept in {folder.relative_to(root)} (`whetstone aside`)" if folder else ""


def as_json(items: list[AsideEntry]) -> str:
    return json.dumps([asdict(item) for item in items], indent=1)
