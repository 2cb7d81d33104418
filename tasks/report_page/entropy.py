"""The section on entropy and accuracy: how much entropy each policy run lost for how much accuracy, and the
law R = -a exp(H) + b.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.evaluation.entropy_law import FEWEST, WINDOW, Law, Pairs, fit, pairs, predict, progress_at
from tasks.report_page.figures import COLOURS, DASHES
from tasks.report_page.picture import Picture
from tasks.report_page.preferences import Pictures, Section
from tasks.report_page.results import Row
from tasks.report_page.svg import plain_axes, render_svg
from tasks.report_page.tables import Cell, Column, Table
from tasks.report_page.wording import number, percent

ACCURACIES = {"greedy": "validation_greedy", "sampled": "validation_sampled"}
# objectives that hold the entropy itself: the law says nothing of such a run (entropy.md 9)
HOLDERS = ("clip_cov", "kl_cov")
# of the run; the paper's marks, by which 73 and 94 % of the entropy were gone (entropy.md 4.2)
EARLY = {"1/12": 1 / 12, "1/3": 1 / 3}
# least to most of a logarithmic axis -> its ticks in each decade
TICKS = {30: (1, 1.5, 2, 3, 5, 7), 1000: (1, 2, 5), math.inf: (1,)}
FEW = 10  # pairs below which a good fit of two coefficients means little
LAW = (
    f"A pair is a validation: its accuracy R, and the mean entropy H, nats per token, of the {WINDOW} "
    f"iterations ending there. The law is "
    "R = −a·exp(H) + b, by least squares; its ceiling b − a is the accuracy that it gives at H = 0, beyond "
    "what was seen. The pairs of a "
    f"run depend on one another, and {FEWEST} of them lie near almost any curve: with n small, or R² low, "
    f"read the points and not the "
    f"coefficients. Runs by {' or '.join(HOLDERS)} are shown without a fit, for those objectives hold the "
    f"entropy. A KL term, a raised "
    "upper clip or a mask by entropy act on it too: their fits describe such a run, and are no evidence for "
    "or against the law."
)
SPENT = (
    "Share of the whole change from the first validation to the last that was made when so much of the run "
    "was over, linear between "
    "validations; – where the last equals the first. Over 100 %, or below 0, where it overshot or turned: "
    "the first table has its two ends."
)


class TrainedRun(NamedTuple):
    """A policy's training curve, and the metrics that its stage wrote."""

    curve: Sequence[Row]
    training: Row


class EntropyCourse(NamedTuple):
    """A run's (entropy, accuracy) pairs under one decoding, with the fitted law, or the reason why there is
    none.
    """

    pairs: Pairs
    law: Law | None
    reason: str


def sections(runs: Mapping[str, TrainedRun], folder: Path) -> list[Section]:
    """Returns the section, and writes its figures into `folder`; empty where no run has three validations
    with both entropy and accuracy.
    """
    by_decoding = {decoding: _courses(runs, key) for decoding, key in ACCURACIES.items()}
    shown = {decoding: courses for decoding, courses in by_decoding.items() if courses}
    if not shown:
        return []
    pictures = [_picture(decoding, by_name, folder) for decoding, by_name in shown.items()]
    return [
        Section(
            "entropy", "Entropy and accuracy", [Pictures(pictures), _laws(shown), LAW, _spent(shown), SPENT]
        )
    ]


def _courses(runs: Mapping[str, TrainedRun], key: str) -> dict[str, EntropyCourse]:
    courses = {}
    for name, run in runs.items():
        points = pairs(run.curve, key)
        if len(points) >= FEWEST:
            courses[name] = _course(points, _objective(run.training))
    return courses


def _objective(training: Row) -> str:
    """Returns the objective that the stage recorded (`clip_cov` of `clip_cov, ratio 0.0002`); empty where it
    recorded none.
    """
    return str((training.get("method") or {}).get("objective") or "").partition(",")[0]


def _course(points: Pairs, objective: str) -> EntropyCourse:
    if objective in HOLDERS:
        return EntropyCourse(points, None, f"not fitted: {objective} holds the entropy")
    try:
        law = fit(points.entropy, points.accuracy)
    except ValueError as error:
        return EntropyCourse(points, None, f"not fitted: {str(error).partition(':')[0]}")
    doubts = {
        f"only {law.n} pairs for two coefficients": law.n < FEW,
        "a is not positive: accuracy did not rise as entropy fell": law.a <= 0,
        "the ceiling is not in [0, 1]": not 0 <= law.ceiling <= 1,
    }
    return EntropyCourse(points, law, "; ".join(doubt for doubt, holds in doubts.items() if holds))


def _laws(shown: Mapping[str, Mapping[str, EntropyCourse]]) -> Table:
    ends = [Column(end, quantity) for quantity in ("H", "R") for end in ("first", "last")]
    fitted = [Column(name, "fit") for name in ("a", "b", "ceiling", "R²", "RMSE, points")]
    table = Table(
        "Entropy bought accuracy",
        (Column("run"), Column("decoding"), Column("n"), *ends, *fitted, Column("to bear in mind")),
    )
    for decoding, courses in shown.items():
        for name, (points, law, reason) in courses.items():
            entropies = (number(float(points.entropy[end])) for end in (0, -1))
            accuracies = (percent(float(points.accuracy[end])) for end in (0, -1))
            table.rows.append(
                (name, decoding, len(points), *entropies, *accuracies, *_coefficients(law), reason or None)
            )
    return table


def _coefficients(law: Law | None) -> tuple[Cell, ...]:
    if law is None:
        return (None,) * 5
    r2 = None if math.isnan(law.r2) else number(law.r2)
    return number(law.a), number(law.b), percent(law.ceiling).replace("-", "−"), r2, number(100 * law.rmse)


def _spent(shown: Mapping[str, Mapping[str, EntropyCourse]]) -> Table:
    """Returns the table of early shares. Entropy belongs to the run, not to the decoding, so any decoding's
    pairs give the same.
    """
    groups = ("entropy consumed", *(f"{decoding} accuracy gained" for decoding in shown))
    table = Table(
        "Spent and gained early in the run",
        (Column("run"), *(Column(f"at {mark}", group) for group in groups for mark in EARLY)),
    )
    for name in dict.fromkeys(name for courses in shown.values() for name in courses):
        points = next(courses[name].pairs for courses in shown.values() if name in courses)
        cells = [_share(points.steps, points.entropy)]
        for courses in shown.values():
            course_pairs = courses[name].pairs if name in courses else None
            cells.append(
                _share(course_pairs.steps, course_pairs.accuracy) if course_pairs else [None] * len(EARLY)
            )
        table.rows.append((name, *(cell for group in cells for cell in group)))
    return table


def _share(steps: Any, values: Any) -> list[str | None]:
    return [_percents(progress_at(steps, values, mark)) for mark in EARLY.values()]


def _percents(share: float) -> str | None:
    return None if math.isnan(share) else f"{round(100 * share)} %".replace("-", "−")


def _picture(decoding: str, courses: Mapping[str, EntropyCourse], folder: Path) -> Picture:
    """Draws R against H on a reversed logarithmic axis, so that training goes from left to right. Entropies
    of 0 are left out.
    """
    title = f"Accuracy against entropy, {decoding}"

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
        spans = []
        for position, (name, course) in enumerate(courses.items()):
            cycle, index = divmod(position, len(COLOURS))
            colour, dash = COLOURS[index], DASHES[cycle % len(DASHES)]
            positive = course.pairs.entropy > 0
            entropies, accuracies = course.pairs.entropy[positive], course.pairs.accuracy[positive]
            mark = "o" if course.law else "x"
            axes.scatter(
                entropies,
                100 * accuracies,
                16,
                color=colour,
                marker=mark,
                alpha=0.75,
                linewidths=0 if course.law else 1,
                label=name,
            )
            if len(entropies):
                spans += [float(entropies.min()), float(entropies.max())]
                if course.law:
                    along = [spans[-2] * (spans[-1] / spans[-2]) ** (step / 60) for step in range(61)]
                    axes.plot(
                        along, 100 * predict(course.law, along), color=colour, linestyle=dash, linewidth=1.4
                    )
        _logarithmic(axes, spans)
        axes.set(xlabel="entropy, nats per token (falls to the right)", ylabel="validation accuracy, %")
        plain_axes(axes)
        figure.legend(
            loc="outside lower center", ncols=max(1, min(3, len(courses))), frameon=False, fontsize=8.5
        )

    folder.mkdir(parents=True, exist_ok=True)
    size = (4.6, 2.9 + 0.18 * math.ceil(len(courses) / 3))
    (folder / f"entropy_law_{decoding}.svg").write_text(render_svg(title, size, paint), "utf-8")
    words = "; ".join(f"{name} {_words(course)}" for name, course in courses.items())
    return Picture(
        f"entropy_law_{decoding}.svg",
        f"{title}: {words}",
        "Dots: validations; line: the fitted law; crosses: not fitted",
    )


def _words(course: EntropyCourse) -> str:
    first, last = ((float(course.pairs.entropy[end]), float(course.pairs.accuracy[end])) for end in (0, -1))
    ends = f"from {percent(first[1])} at {number(first[0])} to {percent(last[1])} at {number(last[0])} nats"
    if course.law is None:
        return f"{ends}, {course.reason}"
    return f"{ends}, a {number(course.law.a)}, b {number(course.law.b)}, n {course.law.n}"


def _logarithmic(axes: Any, spans: Sequence[float]) -> None:
    """Set ticks as plain numbers; powers of ten would leave an axis of less than a decade without ticks."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    if not spans:
        return
    ratio = max(spans) / min(spans)
    axes.set_xscale("log")
    axes.invert_xaxis()
    steps = next(subdivisions for limit, subdivisions in TICKS.items() if ratio < limit)
    axes.xaxis.set_major_locator(MaxNLocator(5) if ratio < 2 else LogLocator(10, subs=steps))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
