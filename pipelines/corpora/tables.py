"""Raw rows of any table: a Hugging Face dataset by id and pinned commit, or local JSONL, JSON, CSV and Parquet files.

JSONL and CSV are read row by row, so that a broken row costs itself alone; Parquet and the hub go through `datasets`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipelines.corpora.location_params import Location
from pipelines.corpora.problem import Reading
from pipelines.corpora.rows import read_rows

Rows = Iterator[tuple[str, Mapping[str, Any]]]


def table_rows(location: Location, reading: Reading, split: str) -> Rows:
    """(place, row) of a split: of the dataset, or a file's. OSError with the way out when a dataset is neither cached nor reachable."""
    if location.id is not None:
        yield from _hub_rows(location, reading, split)
        return
    path = reading.path(split)
    kind = next((suffix for suffix in reversed(path.suffixes) if suffix != ".gz"), "")
    if kind == ".parquet":
        yield from _parquet_rows(path)
    elif kind == ".json" and _is_array(path):
        yield from _array_rows(path, reading)
    elif kind in (".jsonl", ".json", ".csv"):
        yield from read_rows(path, reading.ledger)
    else:
        raise ValueError(f"source {reading.name}: {path} is no .jsonl, .json, .csv or .parquet file")


def _is_array(path: Path) -> bool:
    if path.suffix == ".gz":
        return False
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read(64).lstrip("\ufeff \n\r\t").startswith("[")


def _array_rows(path: Path, reading: Reading) -> Rows:
    try:
        rows = json.loads(path.read_text("utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON array ({error}); fetch it again, or write one object a line as .jsonl") from error
    for number, row in enumerate(rows, 1):
        where = f"{path}:row {number}"
        if isinstance(row, dict):
            yield where, row
        else:
            reading.ledger.reject(where, f"not an object but {type(row).__name__}", "not an object")


def _parquet_rows(path: Path) -> Rows:
    from datasets import load_dataset

    with TemporaryDirectory() as cache:  # its cache of local files is keyed by time stamps, and would outlive the run
        try:
            table = load_dataset("parquet", data_files=str(path), split="train", cache_dir=cache)
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(f"{path} is no whole Parquet file ({error}); fetch or write it again") from error
        for number, row in enumerate(_in_portions(table), 1):
            yield f"{path}:row {number}", row


def _hub_rows(location: Location, reading: Reading, split: str) -> Rows:
    from datasets import DownloadConfig, load_dataset

    assert location.id is not None
    try:
        table = load_dataset(
            location.id,
            location.config,
            split=split,
            revision=location.revision,
            download_config=DownloadConfig(local_files_only=reading.offline),
        )
    except (OSError, ValueError, RuntimeError) as error:
        way = (
            "execution.offline is true: set it to false to download it, or name local files under `splits` without `id`"
            if reading.offline
            else "check the id, the revision, the split's name and the network"
        )
        raise OSError(f"source {reading.name}: dataset {location.id} at {location.revision} is not at hand; {way}. {error}") from error
    for number, row in enumerate(_in_portions(table), 1):
        yield f"{location.id}/{split}:row {number}", row


def _in_portions(table: Any) -> Iterator[dict[str, Any]]:
    """The rows of an Arrow table, converted many at once: one by one takes five times as long."""
    for columns in table.iter(batch_size=1000):
        names, values = columns.keys(), columns.values()
        yield from (dict(zip(names, map(_without_nulls, row), strict=True)) for row in zip(*values, strict=True))


def _without_nulls(value: Any) -> Any:
    """Arrow gives all objects of a column the keys of each, null where an object had none: the arguments of a tool's call among them."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
