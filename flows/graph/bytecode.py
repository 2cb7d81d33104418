"""Compiled code that is older than its source must not run in its place.

Python uses a .pyc file whose recorded size and second of change match the source. It does not notice an edit
that keeps the size, within the second in which the file was compiled: the code that runs is then not the code
that was digested.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from importlib.util import cache_from_source
from pathlib import Path

from tasks.code_files import source_file


def drop_outdated(root: Path, modules: Iterable[str]) -> list[str]:
    """Remove compiled files that are not newer than their source. Returns their paths."""
    dropped = []
    for name in modules:
        source = source_file(root, name) if "/" not in name else None
        if source and source.suffix == ".py":
            compiled = cache_from_source(str(source))
            # there is none, or its folder cannot be written: then Python wrote none either
            with contextlib.suppress(OSError):
                if os.stat(compiled).st_mtime_ns <= os.stat(source).st_mtime_ns:
                    os.unlink(compiled)
                    dropped.append(compiled)
    return dropped
