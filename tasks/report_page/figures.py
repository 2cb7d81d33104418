"""Draws the training curves as SVG files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from tasks.report_page.results import Results, Row
from tasks.report_page.svg import plain_axes, render_svg

COLOURS = ("#1f6feb", "#d4661b", "#2f9e44", "#9a5be0", "#d6408f", "#0e93a6", "#b58900")
# with the colours: 28 methods, four keys
DASHES: tuple[Any, ...] = ("solid", (0, (4, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
BASELINE_COLOUR = "#7d8590"
SPARSE = 40  # fewer points than this are marked one by one
POINTS = 600  # more cannot be told apart at this size
FEW = 3  # with more lines than this the raw values behind the means would hide the means
ITERATIONS, TOKENS = "iterations", "tokens"
AXES = {ITERATIONS: "iteration", TOKENS: "sampled tokens"}


@dataclass(frozen=True)
class Plot:
    """A figure: the keys of the curves that it draws. `exact` values are neither smoothed nor thinned,
    `share` values are in percent.
    """

    name: str
    title: str
    unit: str
    keys: tuple[str, ...]
    group: str
    note: str
    exact: bool = False
    share: bool = False


LEARNING, EXPERIENCE, UPDATE, CRITIC, SFT = (
    "What is learnt",
    "What is learnt from",
    "The updates",
    "The critic",
    "Before: fine-tuning",
)
_QUADRANTS = ("cov_likely_good", "cov_likely_bad", "cov_rare_good", "cov_rare_bad")
PLOTS = (
    Plot("reward", "Reward", "mean score", ("reward",), LEARNING, "Verdicts on the sampled responses"),
    Plot(
        "accuracy",
        "Validation accuracy, greedy",
        "share right",
        ("validation_greedy",),
        LEARNING,
        "Validation split",
        True,
        True,
    ),
    Plot(
        "sampled",
        "Validation accuracy, sampled",
        "share right",
        ("validation_sampled",),
        LEARNING,
        "Validation split",
        True,
        True,
    ),
    Plot(
        "entropy",
        "Entropy",
        "nats per token",
        ("entropy",),
        LEARNING,
        "Near 0 the policy has stopped exploring",
    ),
    Plot("length", "Response length", "tokens", ("length",), LEARNING, "Mean of the sampled responses"),
    Plot(
        "kl",
        "KL to the reference",
        "nats per token",
        ("kl",),
        LEARNING,
        "To the start model, or to what follows it",
    ),
    Plot(
        "kept_groups",
        "Prompts that teach",
        "share of prompts",
        ("kept_groups",),
        EXPERIENCE,
        "Some advantage is not 0",
        share=True,
    ),
    Plot(
        "kept_rows",
        "Rows that teach",
        "share of rows",
        ("kept_rows",),
        EXPERIENCE,
        "A row is a response or a segment",
        share=True,
    ),
    Plot(
        "refill_rounds",
        "Rounds of dynamic sampling",
        "rounds",
        ("refill_rounds",),
        EXPERIENCE,
        "Until enough prompts teach",
    ),
    Plot(
        "replay_age",
        "Age of replayed rows",
        "iterations",
        ("replay_age",),
        EXPERIENCE,
        "Mean of those trained on",
    ),
    Plot("replay_size", "Replay buffer", "rows", ("replay_size",), EXPERIENCE, "Left for later iterations"),
    Plot(
        "clip_fraction",
        "Clipped tokens",
        "share of tokens",
        ("clip_fraction",),
        UPDATE,
        "Whose gradient the clip holds back",
    ),
    Plot(
        "kept_tokens",
        "Tokens with loss",
        "share of tokens",
        ("kept_tokens",),
        UPDATE,
        "What the mask leaves",
        share=True,
    ),
    Plot(
        "mismatch",
        "Sampler and trainer mismatch",
        "nats per token",
        ("mismatch",),
        UPDATE,
        "Of the log-probs; 0 when they agree",
    ),
    Plot("grad_norm", "Gradient norm", "L2 norm", ("grad_norm",), UPDATE, "Before clipping"),
    Plot(
        "covariance",
        "Selected tokens by quadrant",
        "share of selected",
        _QUADRANTS,
        UPDATE,
        "Log-prob and advantage about their means",
    ),
    Plot(
        "value_loss",
        "Value loss",
        "squared error",
        ("value_loss",),
        CRITIC,
        "Clipped, of the normalised returns",
    ),
    Plot(
        "explained_variance",
        "Explained variance",
        "share",
        ("explained_variance",),
        CRITIC,
        "1: values foresee the returns",
    ),
    Plot("sft_loss", "SFT loss", "nats per token", ("loss",), SFT, "Of the demonstrations"),
    Plot(
        "sft_accuracy",
        "SFT validation accuracy",
        "share right",
        ("validation_greedy", "validation_sampled"),
        SFT,
        "",
        True,
        True,
    ),
)


@dataclass(frozen=True)
class Series:
    """One line of a figure."""

    label: str
    places: list[float]
    values: list[float]
    colour: str
    dash: Any


@dataclass(frozen=True)
class DrawnPlot:
    """A figure that was written: its files by axis, the one to show first in front, and its alternative
    text.
    """

    plot: Plot
    files: dict[str, str]
    alt: str


def draw(results: Results, folder: Path, smoothing: int) -> tuple[list[DrawnPlot], list[Plot]]:
    """Writes every plot whose keys some curve has, over each axis. Returns them, and the plots
    without data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn, absent = [], []
    for plot in PLOTS:
        axes = (ITERATIONS,) if plot.group == SFT else axes_of(results)
        by_axis = {axis: list(series(results, plot, axis)) for axis in axes}
        if not by_axis[axes[0]]:
            absent.append(plot)
            continue
        files = {}
        for axis, lines in by_axis.items():
            named = len(lines) > 1 or (plot.group != SFT and len(results.methods) > 1)
            files[axis] = f"{plot.name}.svg" if axis == axes[0] else f"{plot.name}-{axis}.svg"
            (folder / files[axis]).write_text(
                line_chart(plot, lines, smoothing, "step" if plot.group == SFT else AXES[axis], named),
                "utf-8",
            )
        drawn.append(DrawnPlot(plot, files, _alt(plot, by_axis[axes[0]], axes[0])))
    return drawn, absent


def axes_of(results: Results) -> tuple[str, ...]:
    """Returns the axes that the methods' curves can be drawn over, the preferred first. Iterations of
    different methods sample different numbers of tokens, so several methods are compared over sampled tokens,
    where every curve counts them.
    """
    counted = results.methods and all(
        any("sampled_tokens" in row for row in results.curves[name]) for name in results.methods
    )
    if not counted:
        return (ITERATIONS,)
    return (TOKENS, ITERATIONS) if len(results.methods) > 1 else (ITERATIONS, TOKENS)


def series(results: Results, plot: Plot, axis: str) -> Iterator[Series]:
    """Yields the lines of a figure: every curve of its group that has one of its keys, in the order of the
    parameters.
    """
    names = (results.baseline,) if plot.group == SFT else results.methods
    names = tuple(name for name in names if name in results.curves)
    for name in names:
        cycle, index = (
            (0, 0) if name == results.baseline else divmod(results.methods.index(name), len(COLOURS))
        )
        for number, key in enumerate(plot.keys):
            places, values = _points(results.curves[name], key, axis)
            if places:
                label = f"{name} {key.partition('_')[2].replace('_', ' ')}" if len(plot.keys) > 1 else name
                dash = DASHES[(number if len(plot.keys) > 1 else cycle) % len(DASHES)]
                yield Series(
                    label,
                    places,
                    values,
                    BASELINE_COLOUR if name == results.baseline else COLOURS[index],
                    dash,
                )


def centred_mean(values: Sequence[float], window: int) -> list[float]:
    """Returns the means over the `window` values around each value, fewer at the ends, as many as `values`. A
    centred mean does not lag.
    """
    reach = window // 2
    windows = (values[max(0, index - reach) : index + reach + 1] for index in range(len(values)))
    return [math.fsum(neighbours) / len(neighbours) for neighbours in windows]


def _points(rows: list[Row], key: str, axis: str) -> tuple[list[float], list[float]]:
    sampled = accumulate(row.get("sampled_tokens", 0) for row in rows)
    points = [
        (tokens if axis == TOKENS else row["step"], row[key])
        for row, tokens in zip(rows, sampled, strict=True)
        if isinstance(row.get(key), (int, float)) and math.isfinite(row[key])
    ]
    return [x for x, _ in points], [value for _, value in points]


def _alt(plot: Plot, lines: list[Series], axis: str) -> str:
    unit = "tokens" if axis == TOKENS else "steps"
    parts = [
        f"{line.label} from {line.values[0]:.3g} at {line.places[0]:,} to {line.values[-1]:.3g} at "
        f"{line.places[-1]:,} {unit}"
        for line in lines
    ]
    return f"{plot.title} ({plot.unit}): " + "; ".join(parts)


def line_chart(plot: Plot, lines: list[Series], smoothing: int, axis: str, named: bool) -> str:
    """Returns the figure of `lines` over `axis` as SVG; with `named`, a legend stands below it."""
    # of the legend, in characters
    columns = max(1, min(len(lines), 60 // (6 + max(len(line.label) for line in lines))))
    legend = 0.18 * math.ceil(len(lines) / columns) if named else 0.0

    def paint(picture: Any) -> None:
        axes = picture.add_subplot()
        shown = [
            value for line in lines for value in _line(axes, plot, line, smoothing, raw=len(lines) <= FEW)
        ]
        _frame(axes, plot, axis, min(shown), max(shown))
        if named:
            picture.legend(
                loc="outside lower center",
                ncols=columns,
                frameon=False,
                fontsize=8.5,
                handlelength=2.2,
                columnspacing=1.2,
            )

    return render_svg(plot.title, (4.6, 2.7 + legend), paint)


def _line(axes: Any, plot: Plot, line: Series, smoothing: int, raw: bool) -> list[float]:
    """Draw one line, smoothed where it is long; returns the values that must fit into the frame."""
    style = {"color": line.colour, "linestyle": line.dash, "label": line.label}
    window = min(smoothing, len(line.places) // 20)  # a wider one would hide where a short curve starts
    if plot.exact or window <= 1:
        axes.plot(
            line.places,
            line.values,
            linewidth=1.6,
            marker="o" if len(line.places) < SPARSE else "",
            markersize=3,
            **style,
        )
        return line.values
    stride = slice(None, None, math.ceil(len(line.places) / POINTS))
    places, means = line.places[stride], centred_mean(line.values, window)
    if raw:
        axes.plot(places, line.values[stride], color=line.colour, linewidth=0.8, alpha=0.28)
    axes.plot(places, means[stride], linewidth=1.7 if raw else 1.4, **style)
    return line.values if raw else means


def as_percent(share: float, _: int | None = None) -> str:
    """Returns a tick's label with the digits that its axis needs: 4.5 % and 5 %, never 5 % twice."""
    return f"{100 * share:.4g} %"


def _frame(axes: Any, plot: Plot, axis: str, low: float, high: float) -> None:
    from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

    axes.set_title(plot.title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel(axis)
    axes.set_ylabel(plot.unit)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if axis == AXES[TOKENS]:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    if plot.share:
        axes.yaxis.set_major_formatter(FuncFormatter(as_percent))
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    from_zero = -0.01 * high <= low <= 0.4 * high
    axes.set_ylim(0.0 if from_zero else low - margin, high + margin)
    plain_axes(axes)
