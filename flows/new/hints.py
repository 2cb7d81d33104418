"""What to do with a file of which few rows can be read, by its first bytes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pipelines.corpora.raw.ledger import Ledger
from pipelines.corpora.raw.rows import kind_of, open_text

LOOKED_AT = 4096
EXPECTED = {
    ".jsonl": "a JSON object on each line is expected",
    ".json": "a JSON array of objects, or one on each line, is expected",
    ".parquet": "a table with rows is expected",
}
HEADER = "a line with the names of the columns, and rows below it, are expected"


def way_out(path: Path, ledger: Ledger) -> str:
    """Returns what the file seems to be and what makes rows of it, else what is expected of its kind."""
    kind, expected = kind_of(path), EXPECTED.get(kind_of(path), HEADER)
    try:
        with open_text(path) as stream:
            start = stream.read(LOOKED_AT).removeprefix(b"\xef\xbb\xbf").lstrip()
    except (OSError, EOFError):
        return expected
    if start.startswith(b"PAR1"):
        return f"its bytes are Parquet's: mv {path} {path.with_suffix('.parquet')}"
    if b"\0" in start:
        return f"its bytes are no text; {expected}"
    if ledger.reasons["not UTF-8"]:
        return (
            f"its text is not in UTF-8: iconv -f ISO-8859-1 -t UTF-8 {path} > new{kind}, if it is in Latin-1"
        )
    if kind == ".jsonl" and re.match(rb"\[\s*\{", start):
        return f"it is a JSON array, as .json files may be: mv {path} {path.with_suffix('.json')}"
    if kind in (".json", ".jsonl") and start.startswith(b"{"):
        return _of_objects(path, start)
    return expected


def _of_objects(path: Path, start: bytes) -> str:
    line = start.partition(b"\n")[0].rstrip()
    if line.endswith(b"},"):
        return f"its lines end with commas: sed 's/,[[:space:]]*$//' {path} > new.jsonl"
    name = next(iter(re.findall(rb'"(\w+)"\s*:\s*\[\s*\{', start)), b"").decode()
    if name and not _is_object(line):
        return f"it is one object whose rows are in {name}: jq -c '.{name}[]' {path} > new.jsonl"
    return f"its objects go over several lines: jq -c . {path} > new.jsonl"


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
