"""Pages from Jinja2 templates. Everything that a model, a file or a parameter wrote is escaped, and
characters that would command a terminal or reverse the text are made visible (`pipelines.printable`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.printable import escape

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def environment(folder: Path) -> Environment:
    """Returns the templates of a folder. An undefined name in a template is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        finalize=_escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def trusted_markup(markup: str) -> Any:
    """Returns markup that is inserted without escaping: our own style sheets, scripts and drawings."""
    from markupsafe import Markup

    return Markup(markup)


def _escaped(value: Any) -> Any:
    return value if hasattr(value, "__html__") else trusted_markup(escape(str(value)))
