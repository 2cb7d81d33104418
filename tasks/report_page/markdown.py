"""`reports/report.md`: the report's tables and figures as text, for a terminal, a pull request or Prefect's
artifact page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tasks.report_page import overview, tables, wording
from tasks.report_page.comparison import Accuracy, AccuracyDifference
from tasks.report_page.figures import DrawnPlot
from tasks.report_page.page import CONTROL, INTERVALS, PARTS, summary
from tasks.report_page.preferences import Heading, Pictures, Section
from tasks.report_page.results import Results
from tasks.report_page.tables import Cell, Compared, Estimate, Table, Wall
from tasks.report_params import ReportParams


def markdown(
    results: Results,
    drawn: Sequence[DrawnPlot],
    settings: ReportParams,
    more: Sequence[Section] = (),
    warnings: Sequence[str] = (),
) -> str:
    """Returns the whole text, `warnings` in its head. Samples are only on the page, since a model's text may
    hold any markup.
    """
    parts = [
        f"# {_plain(settings.title)}",
        *map(_plain, (*summary(results), *warnings)),
        "## Models",
        table(overview.models(results)),
        "## Accuracy",
        table(tables.headline(results)),
        INTERVALS,
    ]
    if results.compared:
        parts += [table(tables.control(results)), CONTROL, table(tables.changes(results, settings.decoding))]
    parts.append(table(tables.behaviour(results)))
    for part, title in PARTS.items():
        parts += map(table, tables.breakdown(results, part, title))
    if methods_table := tables.methods(results):
        parts += ["## Methods", table(methods_table)]
    parts.append("## Curves")
    parts += [f"![{_plain(plot.alt)}](plots/{next(iter(plot.files.values()))})" for plot in drawn]
    for section in more:
        parts += [f"## {section.title}", *_blocks(section)]
    parts.append("## Corpus and settings")
    parts += [
        table(part_table)
        for part_table in (*tables.counts(results), tables.training(results), tables.settings(results))
    ]
    return "\n\n".join(parts) + "\n"


def _blocks(section: Section) -> Iterator[str]:
    for block in section.blocks:
        if isinstance(block, Table):
            yield table(block)
        elif isinstance(block, Heading):
            yield f"### {_plain(block.text)}"
        elif isinstance(block, Pictures):
            yield from (f"![{_plain(picture.alt)}](plots/{picture.file})" for picture in block.members)
        else:
            yield _plain(block)


def table(value: Table) -> str:
    """Returns a pipe table under its title in bold."""
    names = [f"{column.group} {column.name}".strip() for column in value.columns]
    lines = [names, ["---"] * len(names), *([text(cell) for cell in row] for row in value.rows)]
    return f"**{_plain(value.title)}**\n\n" + "\n".join(
        f"| {' | '.join(map(_plain, line))} |" for line in lines
    )


def text(cell: Cell) -> str:
    """Returns a cell as text: `73.2 % (68.7 – 77.3)`, `+34.0 (+27.3 to +40.2)`."""
    if cell is None or isinstance(cell, Wall):
        return "–"
    if isinstance(cell, Compared):
        return f"{text(cell.accuracy)} {text(cell.change)}"
    if isinstance(cell, Accuracy):
        share = wording.percent(cell.share)
        return share if cell.low is None else f"{share} ({wording.interval(cell.low, cell.high)})"
    if isinstance(cell, Estimate):
        return f"{wording.number(cell.value)} ({wording.estimate_interval(cell)})"
    if isinstance(cell, AccuracyDifference):
        return f"{wording.points(cell.value)} ({wording.points_interval(cell)})"
    return f"{cell:,}" if isinstance(cell, int) else cell


def _plain(value: str) -> str:
    """Returns the text on one line with markup escaped: subjects and titles come from data."""
    return (
        " ".join(value.split())
        .replace("\\", "\\\\")
        .replace("|", "\\|")
        .replace("<", "&lt;")
        .replace("`", "\\`")
    )
