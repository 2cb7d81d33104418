"""Code problems of one source, bad rows named and counted on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.corpora.code.code_problem import CodeProblem
from pipelines.corpora.code.code_source_params import CodeSource
from pipelines.corpora.columns import BadRow
from pipelines.corpora.ledger import Ledger
from pipelines.corpora.rows import read_rows
from pipelines.seams import load


def read_source(source: CodeSource, root: Path, ledger: Ledger, offline: bool = True) -> Iterator[CodeProblem]:
    """`root`: the raw folder. A row that cannot be used goes to the ledger. OSError with the way out when the data is not at hand."""
    convert = load("pipelines.corpora.code", source.reader).convert
    for where, row in _rows(source, root, ledger, offline):
        try:
            problem = convert(row, source.reader)
        except (BadRow, ValueError) as fault:
            ledger.reject(where, str(fault))
            continue
        ledger.accept()
        if problem.id not in source.exclude:
            yield problem


def _rows(source: CodeSource, root: Path, ledger: Ledger, offline: bool) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if source.id is None:
        path = root if root.is_file() else root / str(source.file)
        if not path.exists():
            raise FileNotFoundError(f"source {ledger.name}: no file {path}; `file` names it, relative to the raw folder")
        yield from read_rows(path, ledger)
        return
    from datasets import DownloadConfig, load_dataset

    try:
        config = DownloadConfig(local_files_only=offline)
        table = load_dataset(source.id, source.config, split=source.split, revision=source.revision, download_config=config)
    except (OSError, ValueError, RuntimeError) as error:
        way = (
            "set execution.offline to false, or name a local `file`" if offline else "check the id, the revision, the split and the network"
        )
        raise OSError(f"source {ledger.name}: dataset {source.id} at {source.revision} is not at hand; {way}. {error}") from error
    for number, row in enumerate(table, 1):
        yield f"{source.id}/{source.split}:row {number}", row
