"""Figures as text, the same on the page and in the Markdown: `73.2 %`, `−3.1`, `68.7 – 77.3`."""

from __future__ import annotations

from tasks.report_page.comparison import AccuracyDifference
from tasks.report_page.tables import Estimate


def percent(share: float | None, digits: int = 1) -> str:
    """Returns 0.732 as `73.2 %`."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def points(share: float) -> str:
    """Returns a difference of shares in points, with its sign: -0.031 as `−3.1`."""
    text = f"{100 * share:+.1f}"
    return text.replace("-", "−") if float(text) else "0.0"


def interval(low: float | None, high: float | None) -> str:
    """Returns 0.687, 0.773 as `68.7 – 77.3`."""
    return "–" if low is None or high is None else f"{100 * low:.1f} – {100 * high:.1f}"


def points_interval(change: AccuracyDifference) -> str:
    return f"{points(change.low)} to {points(change.high)}"


def number(value: float) -> str:
    """Returns a number with three significant digits and a real minus: -0.03142 as `−0.0314`."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) >= 1e-4 else "0"
    return text.replace("-", "−")


def estimate_interval(value: Estimate) -> str:
    """Returns the interval, then the least and the most: `0.31 – 0.36; 0.2 to 0.5`."""
    span = (
        ""
        if value.least is None or value.most is None
        else f"; {number(value.least)} to {number(value.most)}"
    )
    return f"{number(value.low)} – {number(value.high)}{span}"


def cut(text: str, limit: int) -> str:
    """Returns the first `limit` characters, and says how many were left out."""
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text) - limit:,} more characters)"
