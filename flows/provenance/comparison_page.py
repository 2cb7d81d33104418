"""A comparison as one self-contained HTML page: tables, curves of all sides in one plot each, and answers to
the same questions side by side.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from flows.provenance.compared import ComparedSide, Member
from flows.provenance.comparison import SidesCompared, tables
from tasks.report_page import html
from tasks.report_page.figures import COLOURS, DASHES, PLOTS, SFT, Plot, Series, line_chart
from tasks.report_page.pairs import SamplePair, by_kind, pair, spread
from tasks.report_page.style import CSS
from tasks.report_page.templates import environment, trusted_markup

FOLDER = Path(__file__).parent
SMOOTHING = 9  # steps, as the report's default
SAMPLES = 3  # pairs of a kind
TEXT_LIMIT = 2000  # characters of an answer


class KindOfPair(NamedTuple):
    """What became of some questions from the first side to another, with some of them."""

    names: tuple[str, str]
    kind: str
    total: int
    pairs: list[SamplePair]


def render(compared: SidesCompared, decoding: str = "greedy") -> str:
    """Returns the page. Answers are those of each side's first member, by `decoding`."""
    pieces: Any = html.template("pieces.html.j2").module
    return (
        environment(FOLDER)
        .get_template("comparison.html.j2")
        .render(
            title=" and ".join(side.shown for side in compared.sides),
            style=trusted_markup(CSS),
            notes=compared.notes,
            tables=[trusted_markup(str(pieces.table(table))) for table in tables(compared)],
            curves=list(curves(compared.sides)),
            kinds=[
                (
                    kind,
                    [trusted_markup(str(pieces.sample(one, kind.names, TEXT_LIMIT))) for one in kind.pairs],
                )
                for kind in side_by_side(compared, decoding)
            ],
            decoding=decoding,
        )
    )


def side_by_side(compared: SidesCompared, decoding: str, count: int = SAMPLES) -> Iterator[KindOfPair]:
    """Yields the kinds of questions (improved, regressed, …) that both sides answered, for every side against
    the first.
    """
    first, *others = compared.sides
    for side in others:
        pairs = pair(first.members[0].samples, side.members[0].samples, decoding)
        for kind, group in by_kind(pairs).items():
            if group:
                yield KindOfPair((first.sampled, side.sampled), kind, len(group), spread(group, count))


def curves(sides: tuple[ComparedSide, ...]) -> Iterator[tuple[str, Any]]:
    """Yields (title, picture as a data URI) of each figure that some curve has: a colour for a side, a dash
    for each further member.
    """
    for plot in PLOTS:
        lines = list(_lines(sides, plot))
        if lines:
            svg = line_chart(plot, lines, SMOOTHING, "step", named=True)
            data = base64.b64encode(svg.encode()).decode()
            yield plot.title, trusted_markup(f"data:image/svg+xml;base64,{data}")


def _lines(sides: tuple[ComparedSide, ...], plot: Plot) -> Iterator[Series]:
    for number, side in enumerate(sides):
        for place, member in enumerate(side.members):
            points = points_of(member, plot)
            if points:
                label = side.shown if len(side.members) == 1 else f"{side.shown} {member.seed}"
                places, values = [x for x, _ in points], [y for _, y in points]
                colour = COLOURS[number % len(COLOURS)]
                yield Series(label, places, values, colour, DASHES[place % len(DASHES)])


def points_of(member: Member, plot: Plot) -> list[tuple[float, float]]:
    """Returns (step, value) of a member's curve in a plot; none of a policy's in those of fine-tuning, whose
    loss is another.
    """
    key = plot.keys[0]
    if plot.group == SFT and any("reward" in row for row in member.curve):
        return []
    points = ((float(row["step"]), float(row[key])) for row in member.curve if row.get(key) is not None)
    return [point for point in points if math.isfinite(point[1])]  # what diverged has no place on a scale
