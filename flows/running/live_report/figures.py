"""The curves of a running run as the report's figures. Drawing is what costs, so a figure may lag behind the
rest of the page: it takes a small share of one core, however long the curves are.
"""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tasks.report_page.figures import COLOURS, DASHES, LEARNING, PLOTS, SFT, Plot, Series, line_chart
from tasks.report_page.preference_figures import CURVES
from tasks.seed_names import seed_groups

SHARE = 0.05  # of a core
SMOOTHING = 9  # steps, as the report's default
UPDATES = ("clip_fraction", "grad_norm")  # of the report's figures of updates, those that warn of trouble
POLICY, TUNING = "reward", "loss"  # what rows of a policy's, and of fine-tuning's curve have

Row = dict[str, Any]
Curves = Mapping[str, Sequence[Row]]


class Figure(NamedTuple):
    """A drawn figure: SVG as a data URI."""

    title: str
    note: str
    data: str


class Figures:
    """Draws, and remembers what it drew until it may draw again."""

    def __init__(self) -> None:
        self._drawn: list[Figure] = []
        self._of: Any = ()
        self._due = 0.0

    def of(self, curves: Curves, last: bool) -> list[Figure]:
        """Returns the figures of the curves by stage, or those drawn a little earlier; never with `last`."""
        now = [(name, len(rows), rows[-1]) for name, rows in curves.items()]
        if now != self._of and (last or time.monotonic() >= self._due):
            began = time.process_time()
            self._drawn, self._of = list(draw(curves)), now
            self._due = time.monotonic() + (time.process_time() - began) / SHARE
        return self._drawn


def draw(curves: Curves) -> Iterator[Figure]:
    """Yields each figure that some curve has a value for. Every figure draws the curves of one kind of
    training: their losses are not the same thing.
    """
    colours = _styles(curves)
    for plot, key in _plots():
        of_kind = {name: rows for name, rows in curves.items() if _kind(rows) == key}
        lines = [line for name, rows in of_kind.items() for line in _lines(plot, name, rows, colours[name])]
        if lines:
            svg = line_chart(plot, lines, SMOOTHING, "step", named=True)
            data = base64.b64encode(svg.encode()).decode()
            yield Figure(plot.title, plot.note, f"data:image/svg+xml;base64,{data}")


def _plots() -> Iterator[tuple[Plot, str]]:
    """Yields the report's figures that are worth watching, each with the key that tells its curves."""
    for plot in PLOTS:
        if plot.group == LEARNING or plot.name in UPDATES:
            yield plot, POLICY
    for plot in PLOTS:
        if plot.group == SFT:
            yield plot, TUNING
    for _, key, plot in CURVES:
        yield plot, key


def _kind(rows: Sequence[Row]) -> str:
    keys = (POLICY, *dict.fromkeys(key for _, key, _ in CURVES), TUNING)
    return next((key for key in keys if any(key in row for row in rows)), "")


def _styles(names: Iterable[str]) -> dict[str, tuple[str, Any]]:
    """Returns {name: (colour, dash)}: a colour for a run, a dash for each of its seeds."""
    groups = seed_groups(names)
    group_of = {member: group for group, members in groups.items() for member in members.values()}
    order = list(dict.fromkeys(group_of.get(name, name) for name in names))
    styles = {}
    for name in names:
        group = group_of.get(name, name)
        cycle, index = divmod(order.index(group), len(COLOURS))
        place = list(groups[group].values()).index(name) if group in groups else cycle
        styles[name] = (COLOURS[index], DASHES[place % len(DASHES)])
    return styles


def _lines(plot: Plot, name: str, rows: Sequence[Row], style: tuple[str, Any]) -> Iterator[Series]:
    for number, key in enumerate(plot.keys):
        points = [(float(row["step"]), float(row[key])) for row in rows if _is_figure(row.get(key))]
        if points:
            places, values = [x for x, _ in points], [y for _, y in points]
            if len(plot.keys) == 1:
                yield Series(name, places, values, *style)
            else:
                label = f"{name} {key.partition('_')[2].replace('_', ' ')}"
                yield Series(label, places, values, style[0], DASHES[number % len(DASHES)])


def _is_figure(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
