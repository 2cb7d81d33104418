"""A reward for rehearsals alone: equal texts get the same, others nearly always something else, so that a
random model, whose answers are all wrong, has something to learn from.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any


def by_text(completions: Sequence[str], **columns: Any) -> list[float]:
    """Returns a number in [0, 1) for each text."""
    return [zlib.crc32(repr(completion).encode()) / 2**32 for completion in completions]
