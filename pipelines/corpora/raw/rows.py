"""Raw rows with their place: JSONL and CSV, plain or gzipped, read row by row.

Every row comes with `file:line`, so that its faults can be located. Nothing that a file contains stops the
reading; only a file that is missing, or whose compressed stream is cut off, does.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.corpora.raw.ledger import Ledger

MAX_LINE = 16 * 2**20  # bytes; a longer "line" is not text that anyone wrote as one row


def read_rows(path: Path, ledger: Ledger, shown: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (place, row) of every row that is an object; other rows are recorded in the ledger. `shown`: the
    name of the file in places, empty for its path. Raises ValueError when the file breaks off.
    """
    shown, lines = shown or str(path), _lines(path)
    try:
        yield from (
            _csv_rows(shown, lines, ledger) if ".csv" in path.suffixes else _json_rows(shown, lines, ledger)
        )
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{shown} breaks off or is no gzip file ({error}); fetch it again") from error


def _lines(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as stream:
        yield from stream


def _json_rows(shown: str, lines: Iterator[bytes], ledger: Ledger) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(lines, 1):
        where = f"{shown}:{number}"
        if not line.strip():
            continue
        if len(line) > MAX_LINE:
            ledger.reject(where, f"line of {len(line)} bytes, more than {MAX_LINE}", "long line")
            continue
        try:
            row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            ledger.reject(where, f"not UTF-8 at byte {error.start}", "not UTF-8")
        except (json.JSONDecodeError, RecursionError) as error:
            ledger.reject(where, f"not JSON: {error}", "not JSON")
        else:
            if isinstance(row, dict):
                yield where, row
            else:
                ledger.reject(where, f"not an object but {type(row).__name__}", "not an object")


def _csv_rows(shown: str, lines: Iterator[bytes], ledger: Ledger) -> Iterator[tuple[str, dict[str, Any]]]:
    text = (
        line.decode("utf-8-sig" if number == 0 else "utf-8", "replace") for number, line in enumerate(lines)
    )
    reader = csv.DictReader(text, strict=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            ledger.reject(f"{shown}:{reader.line_num}", f"not CSV: {error}", "not CSV")
            continue
        where = f"{shown}:{reader.line_num}"
        if None in row or None in row.values():
            ledger.reject(
                where,
                f"has {'more' if None in row else 'fewer'} fields than the header's "
                f"{len(reader.fieldnames or ())}",
                "fields",
            )
        elif any("\ufffd" in value for value in row.values()):
            ledger.reject(where, "not UTF-8", "not UTF-8")
        else:
            yield where, row
