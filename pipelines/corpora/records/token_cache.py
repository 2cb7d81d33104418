"""A cache of the token ids of a set's file for one model, so that no stage renders and tokenises a text
twice.

An entry depends on the file, the model's tokenizer and template and the rendering code alone; all of them are
in the name of its folder. The cache is never part of an identity, may be removed at any time, and a damaged
entry is computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from pipelines.corpora.records import rendering
from pipelines.models import chat, chat_renderer, conversation, template, tokenizer
from pipelines.models.tokenizer import Tokens

# the lists of ids of an example, the same number in all rows; or why it has none
TokenRow = tuple[list[int], ...] | str
CODE = (rendering, chat, chat_renderer, conversation, template, tokenizer)
PACKAGES = ("tokenizers", "jinja2")
FACTS, IDS, LENGTHS = "facts.json", "ids.npy", "lengths.npy"
MIN_ROWS = 2000  # fewer rows are tokenised faster than a folder is written for them


def cached(
    cache: Path | None, source: Path, tokens: Tokens, kind: str, compute: Callable[[], Sequence[TokenRow]]
) -> Sequence[TokenRow]:
    """Returns what `compute` gives for the rows of `source`, from a folder below `cache` where it is stored.
    `kind` distinguishes what is made of a row. `cache` None: nothing is stored.
    """
    if cache is None:
        return compute()
    folder = cache / _key(source, tokens, kind)
    cached_rows = _read(folder)
    if cached_rows is not None:
        return cached_rows
    rows = compute()
    if len(rows) >= MIN_ROWS:
        _write(folder, rows)
    return rows


def _key(source: Path, tokens: Tokens, kind: str) -> str:
    digest = hashlib.sha256(f"{kind}\0{tokens.digest}\0{_code()}\0".encode())
    with open(source, "rb") as stream:
        digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:32]


@lru_cache
def _code() -> str:
    """Returns the digest of the code and the packages that tokenise texts."""
    digest = hashlib.sha256()
    for module in CODE:
        digest.update(Path(str(module.__file__)).read_bytes())
    for package in PACKAGES:
        digest.update(f"{package} {version(package)}\0".encode())
    return digest.hexdigest()


def _read(folder: Path) -> list[TokenRow] | None:
    """Returns the rows of an entry; None where there is none, or it is damaged."""
    try:
        facts = json.loads((folder / FACTS).read_bytes())
        ids, lengths = (np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in (IDS, LENGTHS))
        if facts["digest"] != _digest(ids, lengths):
            return None
        os.utime(folder)  # what is read is not idle
    except (OSError, ValueError, KeyError, TypeError):
        return None
    reasons: dict[str, str] = facts["reasons"]
    ends = np.cumsum(lengths, dtype=np.int64).reshape(lengths.shape)
    rows: list[TokenRow] = []
    for row, (stops, sizes) in enumerate(zip(ends.tolist(), lengths.tolist(), strict=True)):
        if (reason := reasons.get(str(row))) is not None:
            rows.append(reason)
        else:
            rows.append(
                tuple(ids[stop - size : stop].tolist() for stop, size in zip(stops, sizes, strict=True))
            )
    return rows


def _write(folder: Path, rows: Sequence[TokenRow]) -> None:
    """Writes an entry atomically; where another process has written it first, that one stays."""
    lists = max((len(row) for row in rows if not isinstance(row, str)), default=0)
    id_lists = [([],) * lists if isinstance(row, str) else row for row in rows]
    lengths = np.array([[len(ids) for ids in row_ids] for row_ids in id_lists], np.int32).reshape(
        len(rows), lists
    )
    ids = np.fromiter(
        (id for row_ids in id_lists for part_ids in row_ids for id in part_ids), np.int32, int(lengths.sum())
    )
    reasons = {str(index): row for index, row in enumerate(rows) if isinstance(row, str)}
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        np.save(temporary / IDS, ids)
        np.save(temporary / LENGTHS, lengths)
        facts = {"digest": _digest(ids, lengths), "reasons": reasons}
        (temporary / FACTS).write_text(json.dumps(facts) + "\n", "utf-8")
        if folder.exists():  # damaged: it was not read
            shutil.rmtree(folder, ignore_errors=True)
        os.rename(temporary, folder)
    except OSError:
        shutil.rmtree(
            temporary, ignore_errors=True
        )  # another process was first, or the disk is full: the cache is optional


def _digest(ids: np.ndarray, lengths: np.ndarray) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(lengths).tobytes())
    digest.update(np.ascontiguousarray(ids).tobytes())
    return digest.hexdigest()
