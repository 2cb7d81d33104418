"""A figure that is no curve over steps: its file below `plots`, what it says in words, and a caption."""

from __future__ import annotations

from typing import NamedTuple


class Picture(NamedTuple):
    """`wide` takes the whole width of the page."""

    file: str
    alt: str
    note: str = ""
    wide: bool = False
