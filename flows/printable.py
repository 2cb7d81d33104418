"""A console whose text, in whatever it prints, cannot command the terminal. Colours are for markup and
styles.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.segment import Segment

from pipelines.printable import printable


class PrintableConsole(Console):
    """Everything becomes segments by way of `render`; rich's own commands are segments of their own kind."""

    def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:  # type: ignore[override]
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
