"""Figures of the preference branch: training curves, calibration of reward models, win bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.report_page.figures import COLOURS, DASHES, Plot, Series, line_chart
from tasks.report_page.picture import Picture
from tasks.report_page.preference_results import PreferenceResults, Row
from tasks.report_page.svg import FAINT, INK, plain_axes, render_svg

WIN, TIE, LOSE = "#2f9e44", "#9aa4b0", "#d6408f"
CURVES = (
    (
        "dpo_loss",
        "drift",
        Plot(
            "dpo_loss",
            "Preference loss of policies",
            "loss",
            ("loss",),
            "",
            "Mean of the batch; DPO starts at log 2",
        ),
    ),
    (
        "dpo_accuracy",
        "drift",
        Plot("dpo_accuracy", "Implicit accuracy in training", "share", ("accuracy",), "", "", share=True),
    ),
    (
        "dpo_margin",
        "drift",
        Plot("dpo_margin", "Implicit margin", "reward", ("margin",), "", "Chosen minus rejected"),
    ),
    (
        "dpo_chosen",
        "drift",
        Plot(
            "dpo_chosen",
            "Log-prob of the chosen answer",
            "nats",
            ("chosen_logprob",),
            "",
            "It may fall though the margin grows",
        ),
    ),
    ("rm_loss", "first_score", Plot("rm_loss", "Loss of reward and cost models", "loss", ("loss",), "", "")),
    (
        "rm_accuracy",
        "first_score",
        Plot("rm_accuracy", "Accuracy in training", "share", ("accuracy",), "", "", share=True),
    ),
)


def curves(results: PreferenceResults, folder: Path, smoothing: int) -> list[Picture]:
    """Returns a figure for each of CURVES that some run has. The key `drift` tells a policy's run from a
    reward model's.
    """
    pictures = []
    for name, required_key, plot in CURVES:
        runs = {run: rows for run, rows in results.curves.items() if rows and required_key in rows[-1]}
        lines = []
        for number, (run, rows) in enumerate(runs.items()):
            points = [
                (float(row["step"]), float(row[plot.keys[0]]))
                for row in rows
                if isinstance(row.get(plot.keys[0]), (int, float))
            ]
            if points:
                cycle, index = divmod(number, len(COLOURS))
                lines.append(
                    Series(
                        run,
                        [x for x, _ in points],
                        [y for _, y in points],
                        COLOURS[index],
                        DASHES[cycle % len(DASHES)],
                    )
                )
        if lines:
            _write(folder, name, line_chart(plot, lines, smoothing, "step", True))
            alt = "; ".join(
                f"{line.label} from {line.values[0]:.3g} to {line.values[-1]:.3g}" for line in lines
            )
            pictures.append(Picture(f"{name}.svg", f"{plot.title}: {alt}", plot.note))
    return pictures


def calibration(reports: dict[str, Row], folder: Path) -> Picture | None:
    """Returns the reliability diagram of reward models: the share of correctly ordered pairs against
    confidence; the diagonal is perfect calibration.
    """
    shown = {
        name: value["calibration"]["bins"] for name, value in reports.items() if value["calibration"]["bins"]
    }
    if not shown:
        return None

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.set_title("Calibration of reward models", loc="left", fontsize=11, fontweight="bold")
        axes.plot([0.5, 1], [0.5, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        for index, (name, bins) in enumerate(shown.items()):
            total = sum(row["n"] for row in bins)
            colour = COLOURS[index % len(COLOURS)]
            confidences, accuracies = [row["confidence"] for row in bins], [row["accuracy"] for row in bins]
            axes.plot(
                confidences,
                accuracies,
                color=colour,
                linewidth=1.4,
                linestyle=DASHES[index // len(COLOURS) % len(DASHES)],
                label=name,
            )
            axes.scatter(
                confidences,
                accuracies,
                [12 + 200 * row["n"] / total for row in bins],
                color=colour,
                alpha=0.7,
                linewidths=0,
            )
        axes.set(
            xlabel="confidence in the preferred answer",
            ylabel="share right",
            xlim=(0.49, 1.01),
            ylim=(0, 1.05),
        )
        plain_axes(axes)
        figure.legend(
            loc="outside lower center", ncols=max(1, min(3, len(shown))), frameon=False, fontsize=8.5
        )

    _write(folder, "calibration", render_svg("Calibration of reward models", (4.6, 3.6), paint))
    words = (
        f"{name}: " + ", ".join(f"{row['confidence']:.2f} sure {row['accuracy']:.2f} right" for row in bins)
        for name, bins in shown.items()
    )
    return Picture(
        "calibration.svg",
        "Calibration. " + "; ".join(words),
        "Size of a dot: share of the pairs. Below the line the model is too sure",
    )


def wins(boards: dict[str, Row], folder: Path) -> list[Picture]:
    """Returns a figure for each board, with a bar per match: win, tie and loss in percent."""
    return [
        _board(name, board["judge"], board["matches"], folder)
        for name, board in boards.items()
        if board["matches"]
    ]


def _board(name: str, judge: str, matches: Sequence[Row], folder: Path) -> Picture:
    title = f"Win, tie, lose: {name}"

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
        labels = [f"{match['first']} vs {match['second']}" for match in matches]
        start = [0.0] * len(matches)
        for index, (word, colour) in enumerate((("win", WIN), ("tie", TIE), ("lose", LOSE))):
            values = [match["percent"][index] for match in matches]
            axes.barh(range(len(matches)), values, 0.62, left=start, color=colour, label=word)
            for row, (left, value) in enumerate(zip(start, values, strict=True)):
                if value >= 7:
                    axes.text(
                        left + value / 2,
                        row,
                        f"{value:.0f}",
                        ha="center",
                        va="center",
                        fontsize=8.5,
                        color="white",
                    )
            start = [left + value for left, value in zip(start, values, strict=True)]
        axes.set_yticks(range(len(matches)), labels, color=INK)
        axes.invert_yaxis()
        axes.set(xlim=(0, 100), xlabel="percent of the prompts")
        plain_axes(axes, "x")
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8.5)

    file = f"wins-{''.join(letter if letter.isalnum() or letter == '_' else '-' for letter in name)}"
    _write(folder, file, render_svg(title, (6.4, 1.3 + 0.36 * len(matches)), paint))
    words = "; ".join(
        f"{match['first']} against {match['second']} {' / '.join(map(str, match['percent']))} %"
        for match in matches
    )
    return Picture(
        f"{file}.svg", f"{title}, judged by {judge}: {words}", f"Judged by {judge}, in both orders", wide=True
    )


def _write(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.svg").write_text(text, "utf-8")
