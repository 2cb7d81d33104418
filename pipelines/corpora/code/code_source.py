"""Reads code problems of one source; bad rows are counted and named in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipelines.corpora.code.code_problem import CodeProblem
from pipelines.corpora.code.code_source_params import CodeProblemFile
from pipelines.corpora.raw.columns import BadRow
from pipelines.corpora.raw.ledger import Ledger
from pipelines.corpora.raw.rows import read_rows
from pipelines.seams import load


def read_source(source: CodeProblemFile, root: Path, ledger: Ledger) -> Iterator[CodeProblem]:
    """Yields the problems of a source. `root`: the raw folder, or the file. Rows that cannot be used are
    recorded in `ledger`. Raises FileNotFoundError.
    """
    convert = load("pipelines.corpora.code", source.reader).convert
    path = root if root.is_file() else root / source.file
    if not path.exists():
        raise FileNotFoundError(
            f"source {ledger.name}: no file {path}; `file` names it, relative to the raw folder"
        )
    for where, row in read_rows(path, ledger):
        try:
            problem = convert(row, source.reader)
        except (BadRow, ValueError) as fault:
            ledger.reject(where, str(fault))
            continue
        ledger.accept()
        if problem.id not in source.exclude:
            yield problem
