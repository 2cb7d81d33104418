"""Raw rows of any table: local JSONL, JSON, CSV and Parquet files, or a data set from outside, opened by its
digests.

JSONL and CSV are read row by row, so that a broken row costs itself alone; Parquet and the splits of a data
set go through `datasets`.
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

Rows = Iterator[tuple[str, Mapping[str, Any]]]


def table_rows(location: Location, reading: Reading, split: str) -> Rows:
    """(place, row) of a split: a file's, or of a data set from outside, where a split may be the name of one
    of its files too.

    SourceError (a ValueError) with the way out when a data set is neither at hand nor to be had, or not the
    one that was taken in.
    """
    if location.id is None:
        path = reading.path(split)
        yield from _file_rows(path, str(path), reading)
        return
    with reading.open_source(location.id, "data", location.revision) as found:
        if (found.folder / split).is_file():
            yield from _file_rows(found.folder / split, f"{found.shown}/{split}", reading)
        else:
            yield from _split_rows(found, location.config, split, reading)


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


def _split_rows(found: OpenedSource, config: str | None, split: str, reading: Reading) -> Rows:
    """By the data set's own card and the names of its files, as `datasets` reads a folder."""
    from datasets import load_dataset

    with TemporaryDirectory() as cache:
        try:
            table = load_dataset(str(found.folder), config, split=split, cache_dir=cache)
        except (OSError, ValueError, RuntimeError) as error:
            why = str(error).replace(str(found.folder), found.shown)
            part = f"{split} of the configuration {config}" if config else split
            raise ValueError(
                f"source {reading.name}: the data set {found.shown} gives no split {part}; name one of its "
                f"splits or files. {why}"
            ) from error
        for number, row in enumerate(_in_portions(table), 1):
            yield f"{found.shown}/{split}:row {number}", row


def _in_portions(table: Any) -> Iterator[dict[str, Any]]:
    """The rows of an Arrow table, converted many at once: one by one takes five times as long."""
    for columns in table.iter(batch_size=1000):
        names, values = columns.keys(), columns.values()
        yield from (
            dict(zip(names, map(_without_nulls, row), strict=True)) for row in zip(*values, strict=True)
        )


def _without_nulls(value: Any) -> Any:
    """Arrow gives all objects of a column the keys of each, null where an object had none: the arguments of a
    tool's call among them.
    """
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
