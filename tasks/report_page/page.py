"""`reports/index.html`: one page that opens from a disk, with nothing loaded from elsewhere and the same
bytes for the same results.

Timings differ from run to run, so they lie in `timings.js` beside it and a short script fills them in.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pipelines.printable import escape
from tasks.report_page import html, tables
from tasks.report_page.comparison import Accuracy, difference
from tasks.report_page.figures import AXES, FEW, Drawn, Plot
from tasks.report_page.pairs import by_kind, pair, spread
from tasks.report_page.preferences import Section
from tasks.report_page.results import BASELINE, Results
from tasks.report_page.style import CSS, TIMINGS
from tasks.report_params import ReportParams

SECTIONS = {
    "accuracy": "Accuracy",
    "methods": "Methods",
    "breakdown": "Subjects and levels",
    "curves": "Curves",
    "samples": "Samples",
    "corpus": "Corpus and settings",
    "graph": "Graph and timings",
}
PARTS = {"by_subject": "By subject", "by_level": "By level"}
INTERVALS = (
    "Intervals are 95 %: Wilson's for one accuracy; Newcombe's for a difference, in points, which takes the "
    "two as independent "
    "though both models answered the same problems, so it errs on the wide side."
)
CONTROL = (
    f"Sampling at a lower temperature sharpens a model for free. So the control sets the method, sampled, "
    f"against {BASELINE} decoded "
    "greedily: only a gain that survives it, and a gain greedy against greedy, is more than sharpening."
)


def page(
    results: Results,
    drawn: Sequence[Drawn],
    absent: Sequence[Plot],
    settings: ReportParams,
    more: Sequence[Section] = (),
) -> str:
    """The whole page; the sections `more` stand after the curves."""
    bodies = {
        "accuracy": _accuracy(results),
        "methods": _methods(results),
        "breakdown": _breakdown(results),
        "curves": _curves(drawn, absent),
        "samples": _samples(results, settings),
        "corpus": _beside(*tables.counts(results), tables.training(results), tables.settings(results)),
        "graph": _graph(),
    }
    titles = dict(SECTIONS)
    if more:
        before = list(SECTIONS).index("curves") + 1
        entries = list(SECTIONS.items())
        titles = dict(
            [*entries[:before], *((section.key, section.title) for section in more), *entries[before:]]
        )
        bodies |= {section.key: html.blocks(section) for section in more}
    links = "".join(f'<li><a href="#{key}">{name}</a></li>' for key, name in titles.items())
    sections = "\n".join(
        f'<section id="{key}"><h2>{name}</h2>\n{bodies[key]}\n</section>' for key, name in titles.items()
    )
    lead = "\n".join(f'<p class="lead">{escape(sentence)}</p>' for sentence in summary(results))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(settings.title)}</title>
<style>{CSS}</style>
</head>
<body>
<header>
<h1>{escape(settings.title)}</h1>
{lead}
</header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main>
{sections}
</main>
<footer>Made by the stage <code>report</code>. The same tables as text: <a href="report.md">report.md</a>.</footer>
<script src="timings.js"></script>
<script>{TIMINGS}</script>
</body>
</html>
"""


def summary(results: Results) -> list[str]:
    """What changed greedily, and whether it survives the control: a sentence for each method, or three for
    many of them.
    """
    if not results.compared:
        return [
            f"Accuracy of {', '.join(results.models)} on {results.corpus}; without {BASELINE} and a method "
            f"there is nothing to compare."
        ]
    if len(results.compared) > FEW:
        return _many(results)
    sentences = []
    for method in results.compared:
        first, second = _heldout(results, BASELINE, "greedy"), _heldout(results, method, "greedy")
        control = difference(_heldout(results, method, "sampled"), first)
        if not first or not second or first.share is None or second.share is None or not control:
            sentences.append(f"{method}: nothing was counted.")
            continue
        verdict = {"better": "survives", "worse": "falls below"}.get(
            control.reading, "is not told apart from"
        )
        sentences.append(
            f"{method} answers {html.percent(second.share)} of the held-out problems of {results.corpus} "
            f"right greedily, "
            f"{BASELINE} {html.percent(first.share)}; sampled, it {verdict} the control "
            f"({html.points(control.value)} points)."
        )
    return sentences


def _many(results: Results) -> list[str]:
    """Methods by what their intervals let one say."""
    start = _heldout(results, BASELINE, "greedy")
    share = html.percent(start.share if start else None)
    greedy = {name: difference(_heldout(results, name, "greedy"), start) for name in results.compared}
    sampled = {name: difference(_heldout(results, name, "sampled"), start) for name in results.compared}
    sentences = [
        f"{len(results.compared)} methods start from {BASELINE}, which answers {share} of the held-out "
        f"problems of {results.corpus} right greedily."
    ]
    for heading, changes in (
        (f"Greedily, against {BASELINE}", greedy),
        (f"Sampled, against {BASELINE} greedy (control)", sampled),
    ):
        readings: dict[str, list[str]] = {}
        for name, change in sorted(changes.items(), key=lambda item: -item[1].value if item[1] else 2.0):
            readings.setdefault(change.reading if change else "nothing counted", []).append(
                f"{name} ({html.points(change.value)})" if change else name
            )
        sentences.append(
            f"{heading} – "
            + "; ".join(f"{reading}: {', '.join(names)}" for reading, names in readings.items())
            + "."
        )
    return sentences


def _heldout(results: Results, model: str, decoding: str) -> Accuracy | None:
    return Accuracy.of(results.evaluations[model]["heldout"][decoding])


def _accuracy(results: Results) -> str:
    parts = [html.table(tables.headline(results, timed=True)), f'<p class="quiet">{INTERVALS}</p>']
    if results.compared:
        cards = (
            [_cards(results, method) for method in results.compared] if len(results.compared) <= FEW else []
        )
        parts = [*cards, *parts, html.table(tables.control(results)), f'<p class="quiet">{CONTROL}</p>']
    else:
        parts.append(
            f"<p>No comparison: evaluate.models names no {BASELINE} together with a run of rl.runs.</p>"
        )
    return "\n".join([*parts, html.table(tables.behaviour(results))])


def _methods(results: Results) -> str:
    about = tables.methods(results)
    return html.table(about) if about else "<p>The metrics do not say what the methods are.</p>"


def _beside(*parts: tables.Table) -> str:
    return f'<div class="beside">{"".join(map(html.table, parts))}</div>'


def _cards(results: Results, method: str) -> str:
    """The method's three differences from the baseline, large."""
    before, after = (results.evaluations[name]["heldout"] for name in (BASELINE, method))
    headings = (
        f"{method}, greedy",
        f"{method}, sampled",
        f"{method} sampled against {BASELINE} greedy (control)",
    )
    cards = []
    for heading, second, first in zip(
        headings, ("greedy", "sampled", "sampled"), ("greedy", "sampled", "greedy"), strict=True
    ):
        start, end = Accuracy.of(before[first]), Accuracy.of(after[second])
        change = difference(end, start)
        if start is None or end is None or change is None:
            continue
        cards.append(
            f'<div class="card"><h3>{escape(heading)}</h3>'
            f'<div class="big {change.reading}">{html.points(change.value)} <small>points</small></div>'
            f'<div class="from">{html.percent(start.share)} → {html.percent(end.share)} · '
            f"{html.points_interval(change)}</div></div>"
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _breakdown(results: Results) -> str:
    found = [
        html.table(one) for part, title in PARTS.items() for one in tables.breakdown(results, part, title)
    ]
    return "\n".join(found) or "<p>The evaluations know no subjects or levels.</p>"


def _curves(drawn: Sequence[Drawn], absent: Sequence[Plot]) -> str:
    """Figures by group, below the choice of what they are drawn over: plain radio buttons, which the style
    sheet reads.
    """
    parts = []
    if axes := next((list(one.files) for one in drawn if len(one.files) > 1), []):
        parts.append('<span class="quiet">Drawn over</span>')
        for axis in axes:
            checked = " checked" if axis == axes[0] else ""
            parts.append(
                f'<input type="radio" name="axis" id="over-{axis}"{checked}><label '
                f'for="over-{axis}">{AXES[axis]}</label>'
            )
    for group, members in groupby(drawn, key=lambda one: one.plot.group):
        parts.append(
            f'<h3>{escape(group)}</h3>\n<div class="figures">{"".join(map(html.figure, members))}</div>'
        )
    names = ", ".join(plot.title for plot in absent)
    parts.append(f'<p class="quiet">Not in the curves: {escape(names)}.</p>' if absent else "")
    return "\n".join(parts) if drawn else "<p>No curve holds a figure.</p>"


def _samples(results: Results, settings: ReportParams) -> str:
    if not results.compared:
        return f"<p>Answers stand side by side when evaluate.models names {BASELINE} and a method.</p>"
    parts = [html.table(tables.changes(results, settings.decoding))]
    for method in results.compared:
        parts.append(f"<h3>{escape(BASELINE)} and {escape(method)}, {settings.decoding}</h3>")
        pairs = pair(results.samples[BASELINE], results.samples[method], settings.decoding)
        for kind, group in by_kind(pairs).items():
            shown = spread(group, settings.samples)
            if not shown:
                continue
            inside = "\n".join(html.sample(one, (BASELINE, method), settings.text_limit) for one in shown)
            opened = " open" if kind == "improved" and method == results.compared[0] else ""
            parts.append(
                f"<details{opened}><summary>{kind.capitalize()} <small>{len(shown)} of "
                f"{len(group)}</small></summary>"
                f'<div class="inside">{inside}</div></details>'
            )
    return "\n".join(parts)


def _graph() -> str:
    """Places for the graph and the timings, which are the runner's: a script fills them in."""
    heads = "".join(f'<th scope="col"{style}>{name}</th>' for name, style in _TIMING_HEADS)
    return (
        '<div id="graph-of-stages" class="scroll" role="region" tabindex="0" aria-label="Graph"></div>\n'
        '<p id="graph-note" class="quiet">No graph: timings.js is missing, or not from `whetstone run`.</p>\n'
        '<p id="timings-note" class="quiet">Timings are filled in by a script from timings.js.</p>\n'
        f'<div class="scroll" role="region" tabindex="0" aria-label="Timings"><table '
        f'id="timings"><caption>Timings</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody></tbody></table></div>"
    )


_TIMING_HEADS = (
    ("stage", ""),
    ("wall time", ' class="number"'),
    ("its command", ' class="number"'),
    ("action", ""),
    ("run", ""),
)
