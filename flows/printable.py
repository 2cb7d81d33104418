"""A console that prints no terminal commands from data. Only markup and styles make colours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.segment import Segment

from pipelines.printable import printable


class PrintableConsole(Console):
    """Makes the text of every rendered segment printable; rich's own control segments pass."""

    def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:  # type: ignore[override]
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
