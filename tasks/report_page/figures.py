"""The curves as SVG files, the same bytes for the same curves: fixed ids, no date, no display.

Each file is a plain SVG that also follows a dark page: a style sheet in it overrides the ink under `prefers-color-scheme`.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.report_page.results import BASELINE, Results, Row

INK, FAINT, GRID = "#1f2328", "#59636e", "#d8dee4"
DARK = {INK: "#e6edf3", FAINT: "#9198a1", GRID: "#30363d"}
COLOURS = ("#1f6feb", "#d4661b", "#2f9e44", "#9a5be0", "#d6408f", "#0e93a6", "#b58900")
BASELINE_COLOUR = "#7d8590"
FONT = "font-family: system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"  # all narrower than the DejaVu Sans of the layout
SPARSE = 40  # fewer points than this are marked one by one
POINTS = 600  # more cannot be told apart at this size


@dataclass(frozen=True)
class Plot:
    """A figure: the curve keys it draws, and of whom. `exact` values are neither smoothed nor thinned, `share`s are in percent."""

    name: str
    title: str
    unit: str
    keys: tuple[str, ...]
    who: str  # "sft" or "rl"
    note: str
    exact: bool = False
    share: bool = False


_VALIDATION = ("validation_greedy", "validation_sampled")
PLOTS = (
    Plot("accuracy", "Validation accuracy", "share right", _VALIDATION, "rl", "On the validation split", True, True),
    Plot("reward", "Reward", "mean reward", ("reward",), "rl", "Of the problems sampled in that step"),
    Plot("entropy", "Entropy", "nats per token", ("entropy",), "rl", "Near 0 the policy has stopped exploring"),
    Plot("length", "Response length", "tokens", ("length",), "rl", "Mean of the sampled responses"),
    Plot("kl", "KL to the starting policy", "nats per token", ("kl",), "rl", "How far the policy has moved"),
    Plot("sft_loss", "SFT loss", "nats per token", ("loss",), "sft", "Of the demonstrations"),
    Plot("sft_accuracy", "SFT validation accuracy", "share right", _VALIDATION, "sft", "Before reinforcement learning", True, True),
    Plot("clip_fraction", "Clipped tokens", "share of tokens", ("clip_fraction",), "rl", "Whose gradient the clip holds back"),
    Plot("mismatch", "Sampler and trainer mismatch", "nats per token", ("mismatch",), "rl", "Of the log-probabilities; 0 when they agree"),
    Plot("grad_norm", "Gradient norm", "L2 norm", ("grad_norm",), "rl", "Before clipping"),
    Plot("kept_groups", "Groups that teach", "share of groups", ("kept_groups",), "rl", "Their rewards are not all the same", share=True),
)


@dataclass(frozen=True)
class Series:
    """One line of a figure."""

    label: str
    steps: list[float]
    values: list[float]
    colour: str
    dashed: bool


@dataclass(frozen=True)
class Drawn:
    """A figure that was written, and the sentence that stands for it where it cannot be seen."""

    plot: Plot
    file: str
    alt: str


def draw(results: Results, folder: Path, smoothing: int) -> tuple[list[Drawn], list[Plot]]:
    """Write `<name>.svg` for every plot whose keys some curve has; also return the plots that no curve has figures for."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn, absent = [], []
    for plot in PLOTS:
        lines = list(series(results, plot))
        if not lines:
            absent.append(plot)
            continue
        file = f"{plot.name}.svg"
        (folder / file).write_text(_svg(plot, lines, smoothing), "utf-8")
        drawn.append(Drawn(plot, file, _alt(plot, lines)))
    return drawn, absent


def series(results: Results, plot: Plot) -> Iterator[Series]:
    """The lines of a figure: every curve of its kind that has one of its keys, in the order of the parameters."""
    names = (BASELINE,) if plot.who == "sft" else results.methods
    for name in names:
        colour = BASELINE_COLOUR if name == BASELINE else COLOURS[results.methods.index(name) % len(COLOURS)]
        for place, key in enumerate(plot.keys):
            steps, values = _points(results.curves[name], key)
            if steps:
                label = f"{name} {key.removeprefix('validation_')}" if len(plot.keys) > 1 else name
                yield Series(label, steps, values, colour, dashed=place > 0)


def centred_mean(values: Sequence[float], window: int) -> list[float]:
    """Mean over the `window` values around each, fewer at the ends; a centred line does not lag. As long as `values`."""
    reach = window // 2
    around = (values[max(0, place - reach) : place + reach + 1] for place in range(len(values)))
    return [math.fsum(near) / len(near) for near in around]


def _points(rows: list[Row], key: str) -> tuple[list[float], list[float]]:
    found = [(row["step"], row[key]) for row in rows if isinstance(row.get(key), (int, float)) and math.isfinite(row[key])]
    return [step for step, _ in found], [value for _, value in found]


def _alt(plot: Plot, lines: list[Series]) -> str:
    parts = [
        f"{line.label} from {line.values[0]:.3g} at step {line.steps[0]} to {line.values[-1]:.3g} at {line.steps[-1]}" for line in lines
    ]
    return f"{plot.title} ({plot.unit}): " + "; ".join(parts)


def _svg(plot: Plot, lines: list[Series], smoothing: int) -> str:
    from matplotlib import rc_context, rcdefaults, rcParams
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.hashsalt": "whetstone",
        "svg.fonttype": "none",  # text stays text: small files that a screen reader can read
        "font.family": "sans-serif",
        "font.size": 9.5,
        "text.color": INK,
        "axes.edgecolor": GRID,
        "axes.labelcolor": FAINT,
        "xtick.color": FAINT,
        "ytick.color": FAINT,
        "grid.color": GRID,
    }
    with rc_context():
        rcdefaults()  # a user's own matplotlibrc must not change the stage's output
        rcParams.update(style)
        columns = max(1, min(len(lines), 60 // (6 + max(len(line.label) for line in lines))))  # of the legend, in characters
        legend = 0.18 * math.ceil(len(lines) / columns) if len(lines) > 1 else 0.0
        figure = Figure(figsize=(4.6, 2.7 + legend), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for line in lines:
            _line(axes, plot, line, smoothing)
        _frame(axes, plot, lines)
        if len(lines) > 1:
            figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=8.5, handlelength=1.6, columnspacing=1.2)
        stream = io.StringIO()
        metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(stream, format="svg", transparent=True, metadata=metadata)
    return _with_dark(stream.getvalue(), plot.title)


def _line(axes: Any, plot: Plot, line: Series, smoothing: int) -> None:
    look = {"color": line.colour, "linestyle": (0, (4, 2)) if line.dashed else "solid", "label": line.label}
    if plot.exact or len(line.steps) <= 2 * smoothing:
        axes.plot(line.steps, line.values, linewidth=1.6, marker="o" if len(line.steps) < SPARSE else "", markersize=3, **look)
        return
    every = slice(None, None, math.ceil(len(line.steps) / POINTS))
    steps = line.steps[every]
    if smoothing > 1:
        axes.plot(steps, line.values[every], color=line.colour, linewidth=0.8, alpha=0.28)
    axes.plot(steps, centred_mean(line.values, smoothing)[every], linewidth=1.7, **look)


def _frame(axes: Any, plot: Plot, lines: list[Series]) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    axes.set_title(plot.title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel("step")
    axes.set_ylabel(plot.unit)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    if plot.share:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    low, high = min(min(line.values) for line in lines), max(max(line.values) for line in lines)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    from_zero = -0.01 * high <= low <= 0.4 * high
    axes.set_ylim(0.0 if from_zero else low - margin, high + margin)
    axes.grid(axis="y", linewidth=0.7)
    axes.tick_params(length=0)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _with_dark(svg: str, title: str) -> str:
    rules = []
    for light, dark in DARK.items():
        rules.append(f'[style*="stroke: {light}"] {{ stroke: {dark} !important }}')
        rules.append(f'[style*="fill: {light}"] {{ fill: {dark} !important }}')
    rules.append(f'text:not([style*="fill"]) {{ fill: {DARK[INK]} }}')
    sheet = "<style>@media (prefers-color-scheme: dark) {\n" + "\n".join(rules) + "\n}</style>"
    head, mark, rest = re.sub(r"font-family: [^;\"]*", FONT, svg).partition("<defs>")
    return f"{head}<title>{title}</title>\n{sheet}\n{mark}{rest}"
