"""Raw rows of any table: local JSONL, JSON, CSV and Parquet files, or a data set from outside, opened by its
digests.

JSONL and CSV are read row by row, so that a broken row affects no other; Parquet and the splits of a data set
are read with `datasets`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipelines.corpora.raw.location_params import Location
from pipelines.corpora.raw.problem import Reading
from pipelines.corpora.raw.rows import read_rows
from pipelines.sources.opening import OpenedSource

SAVED = "state.json"  # in a folder that `save_to_disk` of `datasets` wrote
Rows = Iterator[tuple[str, Mapping[str, Any]]]


def table_rows(location: Location, reading: Reading, split: str) -> Rows:
    """Yields (place, row) of a split: of a file, or of a data set from outside, where a split may also be the
    name of one of its files.

    Raises SourceError (a ValueError), naming the way out, when a data set is neither available nor can be
    fetched, or is not the one that was recorded.
    """
    if location.id is None:
        path = reading.path(split)
        yield from _file_rows(path, str(path), reading)
        return
    with reading.open_source(location.id, "data", location.revision) as opened:
        if (opened.folder / split).is_file():
            yield from _file_rows(opened.folder / split, f"{opened.shown}/{split}", reading)
        else:
            yield from _split_rows(opened, location.config, split, reading)


def _file_rows(path: Path, shown: str, reading: Reading) -> Rows:
    kind = next((suffix for suffix in reversed(path.suffixes) if suffix != ".gz"), "")
    if kind == ".parquet":
        yield from _parquet_rows(path, shown)
    elif kind == ".json" and _is_array(path):
        yield from _array_rows(path, shown, reading)
    elif kind in (".jsonl", ".json", ".csv"):
        yield from read_rows(path, reading.ledger, shown)
    else:
        raise ValueError(f"source {reading.name}: {shown} is no .jsonl, .json, .csv or .parquet file")


def _is_array(path: Path) -> bool:
    if path.suffix == ".gz":
        return False
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read(64).lstrip("\ufeff \n\r\t").startswith("[")


def _array_rows(path: Path, shown: str, reading: Reading) -> Rows:
    try:
        rows = json.loads(path.read_text("utf-8-sig"))
    except ValueError as error:
        raise ValueError(
            f"{shown} is no JSON array ({error}); fetch it again, or write one object a line as .jsonl"
        ) from error
    for number, row in enumerate(rows, 1):
        where = f"{shown}:row {number}"
        if isinstance(row, dict):
            yield where, row
        else:
            reading.ledger.reject(where, f"not an object but {type(row).__name__}", "not an object")


def _parquet_rows(path: Path, shown: str) -> Rows:
    from datasets import load_dataset

    # its cache of local files is keyed by time stamps, and would outlive the run
    with TemporaryDirectory() as cache:
        try:
            table = load_dataset("parquet", data_files=str(path), split="train", cache_dir=cache)
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(f"{path} is no whole Parquet file ({error}); fetch or write it again") from error
        for number, row in enumerate(_in_portions(table), 1):
            yield f"{shown}:row {number}", row


def _split_rows(opened: OpenedSource, config: str | None, split: str, reading: Reading) -> Rows:
    """Yields the rows of a split of a data set, as `datasets` reads a folder: by the data set's card and the
    names of its files.
    """
    with TemporaryDirectory() as cache:
        try:
            table = _table(opened.folder, config, split, cache)
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).replace(str(opened.folder), opened.shown)
            part = f"{split} of the configuration {config}" if config else split
            raise ValueError(
                f"source {reading.name}: the data set {opened.shown} gives no split {part}; name one of its "
                f"splits or files. {reason}"
            ) from error
        for number, row in enumerate(_in_portions(table), 1):
            yield f"{opened.shown}/{split}:row {number}", row


def _table(folder: Path, config: str | None, split: str, cache: str) -> Any:
    """Returns a split of a folder. One that `save_to_disk` wrote has a folder for each split, or is the only
    split itself. Raises ValueError where it is none of the folder's.
    """
    from datasets import load_dataset, load_from_disk

    if (folder / SAVED).is_file():
        if split != "train":
            raise ValueError("the folder was saved with one split, which is called train here")
        return load_from_disk(str(folder))
    if (folder / split / SAVED).is_file():
        return load_from_disk(str(folder / split))
    return load_dataset(str(folder), config, split=split, cache_dir=cache)


def _in_portions(table: Any) -> Iterator[dict[str, Any]]:
    """Yields the rows of an Arrow table, converted in batches: one by one takes five times as long."""
    for columns in table.iter(batch_size=1000):
        names, values = columns.keys(), columns.values()
        yield from (
            dict(zip(names, map(_without_nulls, row), strict=True)) for row in zip(*values, strict=True)
        )


def _without_nulls(value: Any) -> Any:
    """Returns the value without null keys. Arrow gives all objects of a column the keys of each, null where
    an object had none: the arguments of a tool call among them.
    """
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
