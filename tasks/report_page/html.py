"""The report's pieces as HTML. Everything that a model, a file or a parameter wrote is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pipelines.printable import escape
from tasks.report_page.comparison import Accuracy, Difference
from tasks.report_page.figures import Drawn
from tasks.report_page.pairs import Pair
from tasks.report_page.picture import Picture
from tasks.report_page.preferences import Heading, Pictures, Section
from tasks.report_page.results import Row
from tasks.report_page.tables import Cell, Column, Compared, Estimate, Table, Wall

MARKS = {"right": "✓", "wrong": "✗", "error": "!"}


def percent(share: float | None, digits: int = 1) -> str:
    """0.732 -> `73.2 %`."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def points(share: float) -> str:
    """A difference of shares in points, with its sign: -0.031 -> `−3.1`."""
    text = f"{100 * share:+.1f}"
    return text.replace("-", "−") if float(text) else "0.0"


def interval(low: float | None, high: float | None) -> str:
    """0.687, 0.773 -> `68.7 – 77.3`."""
    return "–" if low is None or high is None else f"{100 * low:.1f} – {100 * high:.1f}"


def points_interval(change: Difference) -> str:
    return f"{points(change.low)} to {points(change.high)}"


def table(value: Table) -> str:
    """A table in a box that scrolls by itself on a narrow screen."""
    body = "\n".join(_row(row) for row in value.rows)
    style = ' class="prose"' if value.prose else ""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(value.title)}"><table{style}>\n'
        f"<caption>{escape(value.title)}</caption>\n<thead>{_head(value.columns)}</thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def badge(verdict: str) -> str:
    return f'<span class="badge {escape(verdict)}">{MARKS.get(verdict, "")} {escape(verdict)}</span>'


def figure(drawn: Drawn) -> str:
    note = f"<figcaption>{escape(drawn.plot.note)}</figcaption>" if drawn.plot.note else ""
    alt, lazy = escape(drawn.alt), ' loading="lazy"'
    images = "".join(
        f'<img class="over-{axis}" src="plots/{file}" alt="{alt}"{lazy if place else ""}>'
        for place, (axis, file) in enumerate(drawn.files.items())
    )
    return f"<figure>{images}{note}</figure>"


def picture(one: Picture) -> str:
    note = f"<figcaption>{escape(one.note)}</figcaption>" if one.note else ""
    wide = ' class="wide"' if one.wide else ""
    return (
        f'<figure{wide}><img src="plots/{escape(one.file)}" alt="{escape(one.alt)}" '
        f'loading="lazy">{note}</figure>'
    )


def blocks(section: Section) -> str:
    """The inside of a section."""
    parts = []
    for block in section.blocks:
        if isinstance(block, Table):
            parts.append(table(block))
        elif isinstance(block, Heading):
            parts.append(f"<h3>{escape(block.text)}</h3>")
        elif isinstance(block, Pictures):
            parts.append(f'<div class="figures">{"".join(map(picture, block.members))}</div>')
        else:
            parts.append(f'<p class="quiet">{escape(block)}</p>')
    return "\n".join(parts)


def number(value: float) -> str:
    """Three significant digits and a real minus: -0.03142 -> `−0.0314`."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) >= 1e-4 else "0"
    return text.replace("-", "−")


def estimate_interval(value: Estimate) -> str:
    """`0.31 – 0.36; 0.2 to 0.5`: the interval, then the least and the most."""
    span = (
        ""
        if value.least is None or value.most is None
        else f"; {number(value.least)} to {number(value.most)}"
    )
    return f"{number(value.low)} – {number(value.high)}{span}"


def sample(one: Pair, names: Sequence[str], limit: int) -> str:
    """A problem with both answers side by side."""
    row = one.before
    level = "" if row.get("level") is None else f" · level {row['level']}"
    sides = "".join(
        _side(name, answer, limit) for name, answer in zip(names, (one.before, one.after), strict=True)
    )
    return (
        f'<div class="sample"><p class="meta">{escape(one.subject)}{escape(level)} · '
        f"<code>{escape(str(row['id']))}</code>"
        f" · expected <strong>{escape(str(row['answer']))}</strong></p>"
        f'<pre class="prompt">{escape(cut(row["prompt"], limit))}</pre><div class="sides">{sides}</div></div>'
    )


def cut(text: str, limit: int) -> str:
    """The first `limit` characters, and how many were left out."""
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text) - limit:,} more characters)"


def _side(name: str, row: Row, limit: int) -> str:
    reason = (
        f' <span class="quiet">{escape(str(row["reason"]))}</span>'
        if row.get("reason") and row["verdict"] != "right"
        else ""
    )
    return (
        f'<div class="side {escape(row["verdict"])}"><p><strong>{escape(name)}</strong> '
        f"{badge(row['verdict'])}{reason}</p>"
        f"<pre>{escape(cut(row['text'], limit)) or '<em>(empty)</em>'}</pre></div>"
    )


def _head(columns: Sequence[Column]) -> str:
    def name(column: Column) -> str:
        return f'<th scope="col">{escape(column.name)}</th>'

    if not any(column.group for column in columns):
        return f"<tr>{''.join(map(name, columns))}</tr>"
    upper: list[str] = []
    lower: list[str] = []
    for group, members in groupby(columns, key=lambda column: column.group):
        own = list(members)
        if group:
            upper.append(f'<th scope="colgroup" colspan="{len(own)}">{escape(group)}</th>')
            lower.extend(map(name, own))
        else:
            upper.extend(f'<th scope="col" rowspan="2">{escape(column.name)}</th>' for column in own)
    return f"<tr>{''.join(upper)}</tr><tr>{''.join(lower)}</tr>"


def _row(cells: Sequence[Cell]) -> str:
    first, *rest = cells
    return f'<tr><th scope="row">{escape(str(first))}</th>{"".join(map(_cell, rest))}</tr>'


def _cell(value: Cell) -> str:
    if value is None:
        return "<td>–</td>"
    if isinstance(value, Accuracy):
        return f"<td>{_accuracy(value)}</td>"
    if isinstance(value, Estimate):
        return f'<td>{number(value.value)}<span class="interval">{estimate_interval(value)}</span></td>'
    if isinstance(value, Difference):
        return f"<td>{_difference(value)}</td>"
    if isinstance(value, Compared):
        return f'<td>{_accuracy(value.accuracy)}<span class="change">{_difference(value.change)}</span></td>'
    if isinstance(value, Wall):
        return f'<td data-wall="{escape(" ".join(value.stages))}">–</td>'
    if value in ("better", "worse", "not told apart"):
        return f'<td><span class="badge {value}">{value}</span></td>'
    return f"<td>{escape(f'{value:,}' if isinstance(value, int) else value)}</td>"


def _difference(value: Difference) -> str:
    return (
        f'<span class="{value.reading}">{points(value.value)}</span><span '
        f'class="interval">{points_interval(value)}</span>'
    )


def _accuracy(value: Accuracy) -> str:
    if value.share is None or value.low is None or value.high is None:
        return "–"
    low, at, width = (f"{100 * one:.2f}%" for one in (value.low, value.share, value.high - value.low))
    strip = (
        f'<span class="strip" aria-hidden="true"><i style="left:{low};width:{width}"></i><b '
        f'style="left:{at}"></b></span>'
    )
    return f'{percent(value.share)}<span class="interval">{interval(value.low, value.high)}</span>{strip}'
