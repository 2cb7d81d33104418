"""Figures as SVG, with the same bytes for the same data: fixed ids, no date, no display, and none of a user's
matplotlib settings.

Each is a plain SVG that also follows a dark page: a style sheet in it overrides the ink under
`prefers-color-scheme`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

from pipelines.printable import escape

INK, FAINT, GRID = "#1f2328", "#59636e", "#d8dee4"
DARK = {INK: "#e6edf3", FAINT: "#9198a1", GRID: "#30363d"}
# all narrower than the DejaVu Sans of the layout
FONT = "font-family: system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"


def render_svg(title: str, size: tuple[float, float], paint: Callable[[Any], None]) -> str:
    """Returns a figure of `size` inches as SVG. `paint(figure)` draws on the empty matplotlib figure; `title`
    is its name for screen readers.
    """
    from matplotlib import rc_context, rcdefaults, rcParams
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.hashsalt": "whetstone",
        "svg.fonttype": "none",  # text stays text: small files that a screen reader can read
        "font.family": "sans-serif",
        "font.size": 9.5,
        "text.color": INK,
        "axes.edgecolor": GRID,
        "axes.labelcolor": FAINT,
        "xtick.color": FAINT,
        "ytick.color": FAINT,
        "grid.color": GRID,
    }
    with rc_context():
        rcdefaults()  # a user's own matplotlibrc must not change the stage's output
        rcParams.update(style)
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure)
        stream = io.StringIO()
        metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(stream, format="svg", transparent=True, metadata=metadata)
    return _with_dark(stream.getvalue(), title)


def plain_axes(axes: Any, grid: str = "y") -> None:
    """Keep only the lines that help reading: a grid along one axis, no ticks, and no frame except the ground
    line.
    """
    axes.grid(axis=grid, linewidth=0.7)
    axes.tick_params(length=0)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _with_dark(svg: str, title: str) -> str:
    rules = []
    for light, dark in DARK.items():
        rules.append(f'[style*="stroke: {light}"] {{ stroke: {dark} !important }}')
        rules.append(f'[style*="fill: {light}"] {{ fill: {dark} !important }}')
    rules.append(f'text:not([style*="fill"]) {{ fill: {DARK[INK]} }}')
    sheet = "<style>@media (prefers-color-scheme: dark) {\n" + "\n".join(rules) + "\n}</style>"
    head, mark, rest = re.sub(r"font-family: [^;\"]*", FONT, svg).partition("<defs>")
    return f"{head}<title>{escape(title)}</title>\n{sheet}\n{mark}{rest}"
