"""Pages from Jinja2 templates. Whatever a model, a file or a parameter wrote is escaped where it is put in,
and what would act on a terminal or turn the text is only shown (`pipelines.printable`).
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
    """The templates of a folder. A name that a template uses and nobody gave is an error."""
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
    """For our own style sheets, scripts and drawings, which are put in as they are."""
    from markupsafe import Markup

    return Markup(markup)


def _escaped(value: Any) -> Any:
    return value if hasattr(value, "__html__") else trusted_markup(escape(str(value)))
