"""`reports/index.html`: one page that opens from a disk, loads nothing from elsewhere, and has the same bytes
for the same results.

Timings differ from run to run, so they lie in `timings.js` beside it and a short script fills them in.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

from tasks.report_page import html, overview, tables, wording
from tasks.report_page.comparison import Accuracy, AccuracyDifference, difference
from tasks.report_page.figures import FEW, DrawnPlot, Plot
from tasks.report_page.pairs import by_kind, pair, spread
from tasks.report_page.preferences import Section
from tasks.report_page.results import Results
from tasks.report_page.style import CSS, TIMINGS
from tasks.report_page.templates import trusted_markup
from tasks.report_params import ReportParams

SECTIONS = {
    "models": "Models",
    "accuracy": "Accuracy",
    "methods": "Methods",
    "breakdown": "Subjects and levels",
    "curves": "Curves",
    "samples": "Samples",
    "corpus": "Corpus and settings",
    "graph": "Graph and timings",
}
# in the navigation, which is one line at 1280 pixels
SHORT = {
    "breakdown": "Subjects",
    "corpus": "Corpus",
    "graph": "Graph",
    "entropy": "Entropy",
    "theory": "Theory",
}
PARTS = {"by_subject": "By subject", "by_level": "By level"}
INTERVALS = (
    "Intervals are 95 %: Wilson's for one accuracy; for a difference, in points, Tango's, over the problems "
    "that both models answered, or a bootstrap over them where each has several answers."
)
CONTROL = (
    "Sampling at a lower temperature sharpens a model for free. So the control sets the method, sampled, "
    "against the model that it started from, decoded greedily: "
    "only a gain that survives it, and a gain greedy against greedy, is more than sharpening."
)


class Card(NamedTuple):
    """One difference from the baseline, with its heading."""

    heading: str
    start: Accuracy
    end: Accuracy
    change: AccuracyDifference


def page(
    results: Results,
    drawn: Sequence[DrawnPlot],
    absent: Sequence[Plot],
    settings: ReportParams,
    more: Sequence[Section] = (),
    warnings: Sequence[str] = (),
) -> str:
    """Returns the page; the sections `more` follow the curves, `warnings` stand in its head."""
    titles = dict(SECTIONS)
    if more:
        before = list(SECTIONS).index("curves") + 1
        entries = list(SECTIONS.items())
        titles = dict(
            [*entries[:before], *((section.key, section.title) for section in more), *entries[before:]]
        )
    return html.template("page.html.j2").render(
        title=settings.title,
        style=trusted_markup(CSS),
        script=trusted_markup(TIMINGS),
        baseline=results.baseline,
        decoding=settings.decoding,
        text_limit=settings.text_limit,
        lead=summary(results),
        warnings=warnings,
        titles=titles,
        short=SHORT,
        more={section.key: section for section in more},
        models=overview.models(results),
        accuracies=_accuracies(results),
        about=tables.methods(results),
        breakdowns=[table for part, name in PARTS.items() for table in tables.breakdown(results, part, name)],
        figures=_figures(drawn, absent),
        answers=_answers(results, settings),
        counts=[*tables.counts(results), tables.training(results), tables.settings(results)],
    )


def summary(results: Results) -> list[str]:
    """Returns the lead: one sentence per method (the greedy change, and whether it holds against the
    control), or three sentences for many methods.
    """
    if not results.compared:
        return [
            f"Accuracy of {', '.join(results.models)} on {results.data}; without {results.baseline} "
            f"and a method "
            f"there is nothing to compare."
        ]
    if len(results.compared) > FEW:
        return _many(results)
    sentences = []
    for method in results.compared:
        first, second = results.accuracy(results.baseline, "greedy"), results.accuracy(method, "greedy")
        control = difference(results.accuracy(method, "sampled"), first)
        if not first or not second or first.share is None or second.share is None or not control:
            sentences.append(f"{method}: nothing was counted.")
            continue
        verdict = {"better": "survives", "worse": "falls below"}.get(
            control.reading, "is not told apart from"
        )
        sentences.append(
            f"{method} answers {wording.percent(second.share)} of the held-out problems of {results.data} "
            f"right greedily, "
            f"{results.baseline} {wording.percent(first.share)}; sampled, it {verdict} the control "
            f"({wording.points(control.value)} points)."
        )
    return sentences


def _many(results: Results) -> list[str]:
    """Returns sentences that group the methods by the conclusions from their intervals."""
    start = results.accuracy(results.baseline, "greedy")
    share = wording.percent(start.share if start else None)
    greedy = {name: difference(results.accuracy(name, "greedy"), start) for name in results.compared}
    sampled = {name: difference(results.accuracy(name, "sampled"), start) for name in results.compared}
    sentences = [
        f"{len(results.compared)} methods start from {results.baseline}, which answers {share} "
        f"of the held-out "
        f"problems of {results.data} right greedily."
    ]
    for heading, changes in (
        (f"Greedily, against {results.baseline}", greedy),
        (f"Sampled, against {results.baseline} greedy (control)", sampled),
    ):
        readings: dict[str, list[str]] = {}
        for name, change in sorted(changes.items(), key=lambda item: -item[1].value if item[1] else 2.0):
            readings.setdefault(change.reading if change else "nothing counted", []).append(
                f"{name} ({wording.points(change.value)})" if change else name
            )
        sentences.append(
            f"{heading} – "
            + "; ".join(f"{reading}: {', '.join(names)}" for reading, names in readings.items())
            + "."
        )
    return sentences


def _accuracies(results: Results) -> dict[str, Any]:
    """Returns the tables of the first section, with cards where there are few methods."""
    few = 0 < len(results.compared) <= FEW
    return {
        "cards": [_cards(results, method) for method in results.compared] if few else [],
        "headline": tables.headline(results, timed=True),
        "intervals": INTERVALS,
        "control": tables.control(results) if results.compared else None,
        "about_control": CONTROL,
        "behaviour": tables.behaviour(results),
    }


def _cards(results: Results, method: str) -> list[Card]:
    """Returns the method's three differences from the baseline, as large cards."""
    decodings = {
        f"{method}, greedy": ("greedy", "greedy"),
        f"{method}, sampled": ("sampled", "sampled"),
        f"{method} sampled against {results.baseline} greedy (control)": ("sampled", "greedy"),
    }
    cards = []
    for heading, (second, first) in decodings.items():
        start, end = results.accuracy(results.baseline, first), results.accuracy(method, second)
        change = difference(end, start)
        if start is not None and end is not None and change is not None:
            cards.append(Card(heading, start, end, change))
    return cards


def _figures(drawn: Sequence[DrawnPlot], absent: Sequence[Plot]) -> dict[str, Any]:
    """Returns the figures by group, and the axes that all of them can be drawn over."""
    return {
        "axes": next((list(figure.files) for figure in drawn if len(figure.files) > 1), []),
        "groups": [
            (group, list(members)) for group, members in groupby(drawn, key=lambda figure: figure.plot.group)
        ],
        "absent": ", ".join(plot.title for plot in absent),
    }


def _answers(results: Results, settings: ReportParams) -> dict[str, Any] | None:
    """Returns some answers of each kind per method, with their numbers; None where nothing is compared."""
    if not results.compared:
        return None
    methods = []
    for method in results.compared:
        pairs = pair(results.samples[results.baseline], results.samples[method], settings.decoding)
        kinds = [
            (kind, spread(group, settings.samples), len(group)) for kind, group in by_kind(pairs).items()
        ]
        methods.append((method, kinds))
    return {"changes": tables.changes(results, settings.decoding), "methods": methods}
