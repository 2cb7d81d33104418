"""Any table: a Hugging Face dataset by id and pinned revision, or local JSONL, CSV and Parquet files, by a mapping of columns.

JSONL and CSV are read row by row, so that a broken row costs itself alone; Parquet and the hub go through `datasets`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipelines.corpora.columns import BadRow, level, text
from pipelines.corpora.problem import Problem, Reading, Role
from pipelines.corpora.rows import read_rows
from pipelines.corpora.sources_params import TableSource


def read(source: TableSource, reading: Reading) -> Iterator[Problem]:
    """Problems of every split named. OSError with the way out when a dataset is neither cached nor reachable."""
    for role, split in source.splits.items():
        for where, row in _rows(source, reading, split):
            try:
                problem = _problem(source, reading, row, role)
            except BadRow as fault:
                reading.ledger.reject(where, str(fault))
            else:
                reading.ledger.accept()
                yield problem


def _problem(source: TableSource, reading: Reading, row: Mapping[str, Any], role: Role) -> Problem:
    columns = source.columns
    answer = text(row, columns.answer)
    solution = None if columns.solution is None else text(row, columns.solution)
    if source.answer_after is not None:
        before, mark, answer_part = answer.rpartition(source.answer_after)
        if not mark or not answer_part.strip():
            raise BadRow(f"{columns.answer} has nothing after {source.answer_after!r}")
        if solution is None and before.strip():
            solution = answer
        answer = answer_part
    return Problem(
        question=text(row, columns.question),
        answer=answer.strip(),
        role=role,
        subject=reading.name if columns.subject is None else text(row, columns.subject),
        solution=solution,
        level=None if columns.level is None else level(text(row, columns.level)),
        key="" if columns.key is None else text(row, columns.key),
    )


def _rows(source: TableSource, reading: Reading, split: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if source.id is not None:
        yield from _hub_rows(source, reading, split)
        return
    path = reading.path(split)
    kind = next((suffix for suffix in reversed(path.suffixes) if suffix != ".gz"), "")
    if kind == ".parquet":
        yield from _parquet_rows(path)
    elif kind in (".jsonl", ".json", ".csv"):
        yield from read_rows(path, reading.ledger)
    else:
        raise ValueError(f"source {reading.name}: {path} is no .jsonl, .csv or .parquet file")


def _parquet_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    from datasets import load_dataset

    with TemporaryDirectory() as cache:  # its cache of local files is keyed by time stamps, and would outlive the run
        table = load_dataset("parquet", data_files=str(path), split="train", cache_dir=cache)
        for number, row in enumerate(table, 1):
            yield f"{path}:row {number}", row


def _hub_rows(source: TableSource, reading: Reading, split: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    from datasets import DownloadConfig, load_dataset

    assert source.id is not None
    try:
        table = load_dataset(
            source.id,
            source.config,
            split=split,
            revision=source.revision,
            download_config=DownloadConfig(local_files_only=reading.offline),
        )
    except (OSError, ValueError, RuntimeError) as error:
        way = (
            "execution.offline is true: set it to false to download it, or name local files under `splits` without `id`"
            if reading.offline
            else "check the id, the revision, the split's name and the network"
        )
        raise OSError(f"source {reading.name}: dataset {source.id} at {source.revision} is not at hand; {way}. {error}") from error
    for number, row in enumerate(table, 1):
        yield f"{source.id}/{split}:row {number}", row
