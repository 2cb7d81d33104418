"""Raw rows of any table: local JSONL, JSON, CSV, TSV and Parquet files, or a data set from outside, opened by
its digests.

JSONL and CSV are read row by row, so that a broken row affects no other, Parquet in batches; the splits of a
data set are read with `datasets`.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipelines.corpora.raw.location_params import Location
from pipelines.corpora.raw.problem import Reading
from pipelines.corpora.raw.rows import kind_of, open_text, read_rows
from pipelines.sources.opening import OpenedSource

TABLES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
BATCH = 1000  # rows of a table that are converted at once: one by one takes five times as long
SAVED = "state.json"  # in a folder that `save_to_disk` of `datasets` wrote
Rows = Iterator[tuple[str, Mapping[str, Any]]]


def table_rows(location: Location, reading: Reading, split: str) -> Rows:
    """Yields (place, row) of a split: of a file, or of a data set from outside, where a split may also be the
    name of one of its files; of `reading.most` rows the first ones alone.

    Raises SourceError (a ValueError), naming the way out, when a data set is neither available nor can be
    fetched, or is not the one that was recorded.
    """
    rows = _all_rows(location, reading, split)
    yield from islice(rows, reading.most)
    if reading.most is not None and next(rows, None) is not None:
        reading.ledger.cut = True


def _all_rows(location: Location, reading: Reading, split: str) -> Rows:
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
    kind = kind_of(path)
    if kind == ".parquet":
        yield from _parquet_rows(path, shown)
    elif kind == ".json" and _is_array(path):
        yield from _array_rows(path, shown, reading)
    elif kind in TABLES:
        yield from read_rows(path, reading.ledger, shown)
    else:
        raise ValueError(f"source {reading.name}: {shown} is no {', '.join(TABLES)} file")


def _is_array(path: Path) -> bool:
    try:
        with open_text(path) as stream:
            return re.match(rb"(\xef\xbb\xbf)?\s*\[", stream.read(64)) is not None
    except (OSError, EOFError):  # told by the reading
        return False


def _array_rows(path: Path, shown: str, reading: Reading) -> Rows:
    try:
        with open_text(path) as stream:
            rows = json.loads(stream.read().decode("utf-8-sig"))
    except (ValueError, RecursionError, EOFError, zlib.error) as error:
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
    """Yields the rows batch by batch: a file may be larger than the memory."""
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{shown}:row {number}", _without_nulls(row)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise ValueError(f"{path} is no whole Parquet file ({error}); fetch or write it again") from error


def _split_rows(opened: OpenedSource, config: str | None, split: str, reading: Reading) -> Rows:
    """Yields the rows of a split of a data set, as `datasets` reads a folder: by the data set's card and the
    names of its files.
    """
    from datasets.exceptions import DatasetsError

    with TemporaryDirectory() as cache:
        try:
            table = _table(opened.folder, config, split, cache)
        except (OSError, ValueError, RuntimeError, DatasetsError) as error:
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
    from datasets import Dataset, load_dataset, load_from_disk

    if (folder / SAVED).is_file() and split != "train":
        raise ValueError("the folder was saved with one split, which is called train here")
    for place in (folder, folder / split):
        if (place / SAVED).is_file():
            return load_from_disk(str(place)) if _has_rows(place) else Dataset.from_dict({})
    return load_dataset(str(folder), config, split=split, cache_dir=cache)


def _has_rows(folder: Path) -> bool:
    """Returns whether a saved split has files: `datasets` cannot load one without."""
    return bool(json.loads((folder / SAVED).read_text("utf-8")).get("_data_files"))


def _in_portions(table: Any) -> Iterator[dict[str, Any]]:
    """Yields the rows of a table of `datasets`."""
    for columns in table.iter(batch_size=BATCH):
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
