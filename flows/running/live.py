"""The display of a run: a line per running stage (steps, figures, time left), and a line per stage that has
ended.

On a terminal the running lines stay at the bottom; elsewhere a line is printed now and then.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from tasks.stage import NOTICE

QUIET_PERIOD_S = 10.0
WIDE = 110  # columns of a terminal on which the bar has room beside the figures


class Display(Protocol):
    """Receives all events of a run, from several threads."""

    def started(self, stage: str, why: str) -> None: ...
    def progress(self, stage: str, row: dict[str, Any]) -> None: ...
    def line(self, stage: str, text: str) -> None: ...
    def ended(self, stage: str, how: str, seconds: float, detail: str = "") -> None: ...
    def say(self, text: str) -> None: ...


def figures(row: dict[str, Any]) -> str:
    """Returns a progress row as text: `loss 0.31  12k tokens/s  40 s left`."""
    words = []
    for name, value in row.items():
        if name in ("done", "total", "left_s") or not isinstance(value, (int, float)):
            continue
        if name == "tokens_per_s":
            words.append(f"{value / 1000:.1f}k tokens/s" if value >= 1000 else f"{value:.0f} tokens/s")
        else:
            words.append(f"{name} {value:.3g}")
    if row.get("left_s") is not None:
        left = int(row["left_s"])
        words.append(f"{left // 60}:{left % 60:02d} left")
    return "  ".join(words)


class Silent:
    """A display that shows nothing, for `--json` and for deployments, which Prefect's pages show."""

    def started(self, stage: str, why: str) -> None: ...
    def progress(self, stage: str, row: dict[str, Any]) -> None: ...
    def line(self, stage: str, text: str) -> None: ...
    def ended(self, stage: str, how: str, seconds: float, detail: str = "") -> None: ...
    def say(self, text: str) -> None: ...


MARKS = {
    "Cached": "[dim]=[/]",
    "Restored": "[cyan]↺[/]",
    "Checked out": "[cyan]↺[/]",
    "Failed": "[red]✗[/]",
    "Stopped": "[yellow]■[/]",
    "Skipped": "[yellow]-[/]",
}


def _style(how: str, detail: str) -> str:
    if how == "Failed":
        return "red"
    return "yellow" if how in ("Stopped", "Skipped") or detail.startswith("warning") else "dim"


def _columns(width: int) -> list[TextColumn | BarColumn | TimeElapsedColumn]:
    """Returns the columns of a running stage. On a narrow terminal there is no bar: rich would cut the
    figures instead.
    """
    uncut = Column(no_wrap=True, overflow="ellipsis")
    count = "{task.completed:.0f}/{task.total:.0f}"
    if width < WIDE:
        return [
            TextColumn(
                "  {task.description:<18} " + count + "  {task.fields[figures]}",
                markup=False,
                table_column=uncut,
            )
        ]
    figures = TextColumn("{task.fields[figures]}", markup=False, table_column=Column(overflow="ellipsis"))
    return [
        TextColumn("  {task.description:<18}", table_column=uncut), BarColumn(24),
        TextColumn(count, table_column=uncut), figures,
        TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
    ]  # fmt: skip


class Terminal:
    """A display on a rich console."""

    def __init__(self, console: Console, verbose: bool = False):
        self.console, self.verbose = console, verbose
        self._printed: dict[str, float] = {}
        self._bars: dict[str, Any] = {}
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(*_columns(console.width), console=console, transient=True)

    def __enter__(self) -> Terminal:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def started(self, stage: str, why: str) -> None:
        self.console.print(f"[bold]▶[/] {escape(stage):<20} [dim]{escape(why)}[/]", highlight=False)
        if self._bar:
            self._bars[stage] = self._bar.add_task(stage, total=1, figures="starting")

    def progress(self, stage: str, row: dict[str, Any]) -> None:
        if self._bar and stage in self._bars:
            self._bar.update(
                self._bars[stage],
                completed=row.get("done", 0),
                total=row.get("total", 1),
                figures=figures(row),
            )
        elif not self._bar and time.monotonic() - self._printed.get(stage, 0) > QUIET_PERIOD_S:
            self._printed[stage] = time.monotonic()
            self.console.print(
                f"  {stage:<20} {row.get('done')}/{row.get('total')}  {figures(row)}",
                markup=False,
                highlight=False,
            )

    def line(self, stage: str, text: str) -> None:
        if text.startswith(NOTICE):
            self.say(f"{stage}: {text}")
        elif self.verbose:
            self.console.print(f"  [dim]{stage} |[/] ", end="")
            self.console.print(text, markup=False, highlight=False)

    def ended(self, stage: str, how: str, seconds: float, detail: str = "") -> None:
        if self._bar and stage in self._bars:
            self._bar.remove_task(self._bars.pop(stage))
        self.console.print(
            f"{MARKS.get(how, '[green]✓[/]')} {stage:<20} {how.lower():<12}"
            + (f"{seconds:7.1f} s" if seconds >= 0.05 else ""),
            highlight=False,
        )
        if detail:
            self.console.print(detail, style=_style(how, detail), markup=False, highlight=False)

    def say(self, text: str) -> None:
        self.console.print(text, style="yellow", markup=False, highlight=False)
