"""A comparison in the terminal: the tables, the curves as one line of marks each, and a few answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table as Grid

from flows.provenance.comparison import UNKNOWN, SidesCompared, tables
from flows.provenance.comparison_page import points_of, side_by_side
from tasks.report_page.figures import PLOTS
from tasks.report_page.markdown import text
from tasks.report_page.tables import Table
from tasks.report_page.wording import cut

MARKS = "▁▂▃▄▅▆▇█"
WIDTH = 32  # marks of a curve
ROWS = 30  # of a table in the terminal
CHANGED = ("improved", "regressed")
TEXT = 160  # characters of an answer


def print_comparison(console: Console, compared: SidesCompared) -> None:
    """Print everything that fits a terminal; --html has all of it."""
    for note in compared.notes:
        console.print(note, style="yellow", markup=False)
    for table in tables(compared):
        _print_table(console, table)
    for title, rows in _curves(compared):
        console.print(title, style="bold", markup=False)
        for line in rows:
            console.print(f"  {line}", markup=False)
    for kind in side_by_side(compared, "greedy", 1):
        if kind.kind in CHANGED:
            sample = kind.pairs[0]
            console.print(f"{kind.kind} ({kind.total}), for example:", style="bold", markup=False)
            console.print(f"  {cut(str(sample.before['prompt']), TEXT)}", markup=False)
            for name, row in zip(kind.names, (sample.before, sample.after), strict=True):
                said = " ".join(str(row["text"]).split())
                console.print(f"  {name} [{row['verdict']}]: {cut(said, TEXT)}", markup=False)


def _print_table(console: Console, table: Table) -> None:
    """Print a grid for each group of columns, since all of them are wider than a terminal."""
    console.print(table.title, style="italic", markup=False)
    cells = [[str(text(cell)) for cell in row] for row in table.rows[:ROWS]]
    for group in dict.fromkeys(column.group for column in table.columns if column.group) or [""]:
        shown = [
            place
            for place, column in enumerate(table.columns)
            if column.group in ("", group) and any(row[place] != UNKNOWN for row in cells)
        ]
        grid = Grid(title=group or None, title_justify="left", box=None, pad_edge=False)
        for place in shown:
            grid.add_column(table.columns[place].name, overflow="fold")
        for row in cells:
            grid.add_row(*(row[place] for place in shown))
        console.print(grid)
    if len(table.rows) > ROWS:
        console.print(f"… and {len(table.rows) - ROWS} more rows (--html, --json)", markup=False)


def _curves(compared: SidesCompared) -> Iterator[tuple[str, list[str]]]:
    """Yields (title, a line of marks for each member) of the curves that two sides have, on one scale."""
    for plot in PLOTS:
        runs = {
            member.name if side.commit is None else f"{side.shown} {member.seed}".strip(): values
            for side in compared.sides
            for member in side.members
            if (values := [value for _, value in points_of(member, plot)])
        }
        if len(runs) > 1:
            every = [value for values in runs.values() for value in values]
            width = max(map(len, runs))
            yield (
                f"{plot.title} ({plot.unit})",
                [
                    f"{name:<{width}} {_marks(values, min(every), max(every))} "
                    f"{values[0]:.3g} → {values[-1]:.3g}"
                    for name, values in runs.items()
                ],
            )


def _marks(values: Sequence[float], low: float, high: float) -> str:
    """Returns the values, thinned to WIDTH, as bars between low and high."""
    count = min(WIDTH, len(values))
    thinned = [values[place * len(values) // count] for place in range(count)]
    span = (high - low) or 1.0
    return "".join(MARKS[min(len(MARKS) - 1, int((value - low) / span * len(MARKS)))] for value in thinned)
