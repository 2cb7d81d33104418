"""A figure that is not a curve over steps: its file below `plots`, its alternative text, and a caption."""

from __future__ import annotations

from typing import NamedTuple


class Picture(NamedTuple):
    """A figure with its alternative text. `wide`: it takes the whole width of the page."""

    file: str
    alt: str
    note: str = ""
    wide: bool = False
