"""A console whose strings, in tables and trees too, cannot command the terminal. Colours are for markup and styles."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from pipelines.printable import printable


class PrintableConsole(Console):
    """Every string becomes text by way of `render_str`."""

    def render_str(self, text: str, **options: Any) -> Text:  # type: ignore[override]
        return super().render_str(printable(text), **options)
