"""Outputs appear by rename, once all of them are complete: no partial file is ever visible under an output's
name.

A stage writes below its work directory. DONE.json is written there when every declared output is staged, and
lists their files; from then on the result counts as made, and a kill while outputs are moved or hashed costs
no retraining.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from tasks import durable

DONE = "DONE.json"


class IncompleteOutput(RuntimeError):
    """The stage ended without writing something that dvc.yaml declares."""


def listing(path: Path) -> dict[str, list[int]] | None:
    """Returns {relative file name: [size, time of change in ns]} of a file or folder; None when it does not
    exist.
    """
    if path.is_file():
        stat = path.stat()
        return {"": [stat.st_size, stat.st_mtime_ns]}
    if not path.is_dir():
        return None
    files = {}
    for file in sorted(path.rglob("*")):
        if file.is_file():
            stat = file.stat()
            files[file.relative_to(path).as_posix()] = [stat.st_size, stat.st_mtime_ns]
    return files


def mark_done(work: Path, outs: Iterable[str]) -> None:
    """Write DONE.json durably when every output is staged. Raises IncompleteOutput, which names the missing
    ones.
    """
    files = {out: listing(work / "outs" / out) for out in outs}
    missing = [out for out, value in files.items() if not value]
    if missing:
        raise IncompleteOutput(f"the stage ended without writing {', '.join(missing)}")
    for out in files:
        durable.sync_tree(work / "outs" / out)
    durable.write(work / DONE, json.dumps(files))


def _done(work: Path) -> dict[str, dict[str, list[int]]] | None:
    try:
        return json.loads((work / DONE).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def publishable(work: Path, root: Path) -> bool:
    """Returns whether all outputs of a finished command exist, staged or already in place."""
    outputs = _done(work)
    return outputs is not None and all(
        files in (listing(root / out), listing(work / "outs" / out)) for out, files in outputs.items()
    )


def published(work: Path, root: Path, outs: Iterable[str]) -> bool:
    """Returns whether the outputs in place are exactly those of the finished command."""
    outputs = _done(work)
    return (
        outputs is not None
        and set(outputs) == set(outs)
        and all(listing(root / out) == files for out, files in outputs.items())
    )


def in_place(work: Path, root: Path) -> list[str]:
    """Returns the outputs of a finished command that are already in place."""
    return [out for out, files in (_done(work) or {}).items() if listing(root / out) == files]


def publish(work: Path, root: Path) -> None:
    """Move the staged outputs into place, replacing older ones. It can be repeated after a kill."""
    outputs = _done(work)
    if outputs is None:
        raise IncompleteOutput(f"{work / DONE} is missing or unreadable; nothing is published")
    for out, files in outputs.items():
        staged, final = work / "outs" / out, root / out
        if listing(staged) != files:
            continue  # moved before a kill; `published` checks the place
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.is_dir() and not final.is_symlink():
            old = work / "replaced"
            shutil.rmtree(old, ignore_errors=True)
            os.replace(final, old)
            durable.replace(staged, final)
            shutil.rmtree(old, ignore_errors=True)
        else:
            durable.replace(staged, final)
