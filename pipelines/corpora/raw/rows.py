"""Raw rows with their place: JSONL, CSV and TSV, plain or gzipped, in UTF-8 or with UTF-16's mark, read row
by row.

Every row comes with `file:line`, so that its faults can be located. Nothing that a file contains stops the
reading; only a file that is missing, whose compressed stream is cut off, or whose header names a column twice
does.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from pipelines.corpora.raw.ledger import Ledger

MAX_LINE = 16 * 2**20  # bytes; a longer "line" is not text that anyone wrote as one row
GZIP = b"\x1f\x8b"
MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # Excel's "Unicode text", PowerShell's redirection
SEPARATORS = ",;\t|"  # of CSV; a semicolon where the comma is the decimal sign, a tab in .tsv


def kind_of(path: Path) -> str:
    """Returns the suffix that says what a file holds, in lower case, the one before .gz; empty without."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")


def open_text(path: Path) -> Any:
    """Returns a file's bytes as a stream, decompressed; of text in UTF-16, by its mark, as UTF-8."""
    with open(path, "rb") as stream:
        zipped = path.suffix.lower() == ".gz" or stream.read(2) == GZIP
    opened: Any = gzip.open(path, "rb") if zipped else open(path, "rb")  # noqa: SIM115 - the caller closes it
    try:
        return io.BufferedReader(_Recoded(opened)) if opened.peek(2)[:2] in MARKS else opened
    except BaseException:
        opened.close()
        raise


class _Recoded(io.RawIOBase):
    """UTF-16 as UTF-8. What is none becomes U+FFFD."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._rest = stream, b""
        self._decoder = codecs.getincrementaldecoder("utf-16")("replace")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            data = self._stream.read(len(buffer))
            self._rest = self._decoder.decode(data, final=not data).encode()
            if not data:
                break
        taken, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)

    def close(self) -> None:
        self._stream.close()
        super().close()


def read_rows(path: Path, ledger: Ledger, shown: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (place, row) of every row that is an object; other rows are recorded in the ledger. `shown`: the
    name of the file in places, empty for its path. Raises ValueError when the file breaks off.
    """
    shown, read = shown or str(path), _csv_rows if kind_of(path) in (".csv", ".tsv") else _json_rows
    try:
        with open_text(path) as stream:
            yield from read(shown, stream, ledger)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{shown} breaks off or is no gzip file ({error}); fetch it again") from error


def _lines(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yields each line and its size; the line is cut where it is longer than MAX_LINE."""
    while line := stream.readline(MAX_LINE + 1):
        size, rest = len(line), line
        while len(rest) > MAX_LINE and not rest.endswith(b"\n"):
            rest = stream.readline(MAX_LINE + 1)
            size += len(rest)
        yield line, size


def _json_rows(shown: str, stream: BinaryIO, ledger: Ledger) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, (line, size) in enumerate(_lines(stream), 1):
        where = f"{shown}:{number}"
        if not line.strip():
            continue
        if size > MAX_LINE:
            ledger.reject(where, f"line of {size} bytes, more than {MAX_LINE}", "long line")
            continue
        try:
            row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            ledger.reject(where, f"not UTF-8 at byte {error.start}", "not UTF-8")
        except (ValueError, RecursionError) as error:  # the first: also of an integer of thousands of digits
            ledger.reject(where, f"not JSON: {error}", "not JSON")
        else:
            if isinstance(row, dict):
                yield where, row
            else:
                ledger.reject(where, f"not an object but {type(row).__name__}", "not an object")


def _csv_rows(shown: str, stream: BinaryIO, ledger: Ledger) -> Iterator[tuple[str, dict[str, Any]]]:
    text = io.TextIOWrapper(stream, "utf-8-sig", "replace", newline="")
    header = text.readline()
    csv.field_size_limit(MAX_LINE)  # of the process; the module's own limit is shorter than some texts
    reader = csv.DictReader(chain([header], text), delimiter=max(SEPARATORS, key=header.count), strict=True)
    _check_header(shown, reader, ledger)
    while True:
        start = reader.reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            _reject_lines(shown, range(start, reader.reader.line_num + 1), str(error), ledger)
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


def _check_header(shown: str, reader: csv.DictReader[str], ledger: Ledger) -> None:
    """Raises ValueError where two columns have one name: the second would hide the first."""
    try:
        names = reader.fieldnames or ()
    except csv.Error as error:
        raise ValueError(f"{shown}:1: the header is not CSV: {error}") from error
    if twice := [name for name, count in Counter(names).items() if name.strip() and count > 1]:
        raise ValueError(f"{shown}:1: the header names {', '.join(twice)} twice; rename one of the columns")


def _reject_lines(shown: str, lines: range, reason: str, ledger: Ledger) -> None:
    """Records the lines that were read as one row: all that follow a quote that nothing closes, for one."""
    if reason == "unexpected end of data":
        reason = f"a quote that opens in line {lines.start} is never closed"
    for number in lines or range(lines.start, lines.start + 1):
        ledger.reject(f"{shown}:{number}", f"not CSV: {reason}", "not CSV")
