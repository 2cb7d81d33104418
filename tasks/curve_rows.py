"""The rows of a curve (`Stage.log`) while the stage writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CHUNK = 1 << 22  # bytes that are read at once


def appended(curve: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Returns the complete rows that were appended to `curve` (JSONL) since `offset` bytes, and the new
    offset: 0 where there is no file.
    """
    try:
        size = curve.stat().st_size
        with open(curve, "rb") as stream:
            stream.seek(offset if offset <= size else 0)  # a resumed stage cuts its curve: read it again
            start = stream.tell()
            text = stream.read(CHUNK)
    except FileNotFoundError:
        return [], 0
    complete = text[: text.rfind(b"\n") + 1]
    return [json.loads(line) for line in complete.splitlines()], start + len(complete)
