"""Rows whose last cell is prose, in a terminal: a table in which a long name does not squeeze the prose."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

LEAST_PROSE = 32  # characters: below some 30 prose comes a word or two to a line
GAP = 2  # characters between columns, as rich sets them
Row = tuple[str, ...]


def print_prose_rows(console: Console, rows: Sequence[Row], name: int, titles: Row = ()) -> None:
    """Print rows of rich markup as a table whose last column takes what the others leave.

    `name` is the place of the cell that may be long. Where it would leave less than LEAST_PROSE characters,
    it stands on a line of its own (with the cells before it), and the rest of its row below.
    """
    fits = [_room(console, row, name) >= 0 for row in rows]
    measured = [row for row, fitting in zip(rows, fits, strict=True) if fitting] + [titles] * bool(titles)
    others = [(*row[:name], "", *row[name + 1 :]) for row in rows]
    widths = [max(_length(row[place]) for row in (*measured, *others)) for place in range(len(rows[0]) - 1)]
    table = _table(widths, titles)
    for row, fitting in zip(rows, fits, strict=True):
        if fitting:
            table.add_row(*row)
            continue
        if table.rows or table.show_header:
            console.print(table)
        console.print((" " * GAP).join(row[: name + 1]), overflow="fold", highlight=False)
        table = _table(widths)
        table.add_row(*[""] * (name + 1), *row[name + 1 :])
    console.print(table)


def _room(console: Console, row: Row, name: int) -> int:
    """Returns how many characters a row's name leaves free beside LEAST_PROSE of prose; below 0: too few."""
    return console.width - LEAST_PROSE - sum(_length(cell) + GAP for cell in row[:-1])


def _length(cell: str) -> int:
    return Text.from_markup(cell).cell_len


def _table(widths: Sequence[int], titles: Row = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", show_header=bool(titles))
    for place, width in enumerate(widths):
        table.add_column(titles[place] if titles else "", min_width=width, no_wrap=True)
    table.add_column(titles[-1] if titles else "", overflow="fold")
    return table
