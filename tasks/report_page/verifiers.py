"""The section on verifiers: sets, judgements, agreement with exact labels, laboratory and gate, and the
policies behind them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tasks.report_page.comparison import Accuracy
from tasks.report_page.figures import COLOURS, DASHES, Plot, Series, line_chart
from tasks.report_page.picture import Picture
from tasks.report_page.preference_tables import share
from tasks.report_page.preferences import Block, Heading, Pictures, Section
from tasks.report_page.question_sets import CONTAMINATION, EXAMS, exam_tables
from tasks.report_page.tables import Column, Estimate, Table, shown

Row = dict[str, Any]
JUDGED = (
    "Right: the share that the teacher called right; drift: the same in the first and the last fifth of the "
    "exploring run. Where the "
    "teacher is the exact checker, its labels are exact by construction; a real teacher's accuracy stands in "
    "its column."
)
AGREEMENT = (
    "On held-out responses with labels that no verifier made (unless the table says teacher). Seen: subjects "
    "that the verifier was trained "
    "on; what policies wrote (responses) and variants of the references (variants) together. Kappa with a 95 "
    "% interval over questions. "
    "Unsure: probabilities between 0.05 and 0.95; below 2 % a soft reward is a binary one."
)
ATTACKS = (
    "False accepts are attacks that were called right, by kind; false rejects are right answers, also in "
    "other words, that were refused."
)
POLICIES = (
    "Every policy started from the same model with equal budgets; its answers are judged by the grader, not "
    "by its own reward."
)
CURVES = (
    Plot(
        "rlvr_reward",
        "Mean reward on validation questions",
        "reward",
        ("validation_reward",),
        "",
        "Under the arm's own judge",
        exact=True,
    ),
    Plot(
        "rlvr_accuracy",
        "True accuracy on validation questions",
        "share",
        ("validation_sampled",),
        "",
        "Exact checker",
        exact=True,
        share=True,
    ),
)


def sections(
    metrics: Path, curves: Path, evaluations: Mapping[str, Row], folder: Path, smoothing: int
) -> list[Section]:
    """What there is to say, with its figures written into `folder`; nothing where no stage of the branch has
    run. `evaluations` are those that the page does not show elsewhere.
    """
    found = {name: _read(metrics / name) for name in ("exams", "rlvr_set", "judgements", "verifier_report")}
    blocks: list[Block] = []
    if found["rlvr_set"] or found["judgements"]:
        blocks += [
            Heading("Questions and judgements"),
            *_sets(found["rlvr_set"]),
            *_judgements(found["judgements"]),
            JUDGED,
        ]
    if tables := exam_tables(found["exams"], found["rlvr_set"]):
        blocks += [Heading("Published exams"), EXAMS, *tables, CONTAMINATION]
    for name, value in found["verifier_report"].items():
        gate = value["gate"]
        words = (
            "The gate is open."
            if gate["passed"]
            else "The gate is closed: " + "; ".join(gate["reasons"]) + "."
        )
        blocks += [
            Heading(f"Verifier {name}"),
            words,
            *_agreement(value),
            AGREEMENT,
            *_laboratory(value),
            ATTACKS,
        ]
    if evaluations:
        blocks += [Heading("Policies"), *_policies(evaluations), POLICIES]
        models = dict.fromkeys(value["model"] for value in evaluations.values())
        if pictures := _curves(curves, models, folder, smoothing):
            blocks.append(Pictures(pictures))
    return [Section("verifiers", "Verifiers", blocks)] if blocks else []


def _read(folder: Path) -> dict[str, Row]:
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            found[path.stem] = json.loads(path.read_text("utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path}: not JSON ({error}); make it again: `whetstone run --force "
                f"{folder.name}@{path.stem}`"
            ) from None
    return found


def _sets(found: Mapping[str, Row]) -> list[Table]:
    files = list(dict.fromkeys(file for value in found.values() for file in value["records"]))
    table = Table(
        "Questions of a set by use", (Column("set"), *map(Column, files), Column("unseen subjects"))
    )
    for name, value in found.items():
        table.rows.append(
            (
                name,
                *(value["records"].get(file) for file in files),
                ", ".join(value["unseen_subjects"]) or None,
            )
        )
    return [table] if found else []


def _judgements(found: Mapping[str, Row]) -> list[Table]:
    files = ("train", "calib", "heldout")
    columns = (
        *(Column(key, file) for file in files for key in ("judged", "right")),
        Column("teacher's accuracy"),
        Column("drift"),
    )
    table = Table("Judgements", (Column("set"), Column("teacher"), *columns))
    for name, value in found.items():
        cells = (
            cell
            for file in files
            for cell in (value["files"][file]["n"], _percent(value["files"][file]["right"]))
        )
        right = value["files"]["train"]["teacher_accuracy"]
        drift = f"{_percent(value['drift'][0]['right'])} to {_percent(value['drift'][-1]['right'])}"
        table.rows.append((name, value["teacher"], *cells, None if right is None else _percent(right), drift))
    return [table] if found else []


def _agreement(value: Row) -> list[Table]:
    names = ("n", "kappa", "accuracy", "false accepts", "false rejects", "AUROC", "ECE", "unsure", "unparsed")
    table = Table(
        f"Agreement with {value['labels']} labels", (Column("judge"), Column("subjects"), *map(Column, names))
    )
    subjects = Table(
        "Kappa by subject", (Column("judge"), *map(Column, value["arms"]["verifier"]["subjects"]))
    )
    for arm, figures in value["arms"].items():
        for part in ("seen", "responses", "variants", "unseen"):
            if one := figures.get(part):
                middle = Estimate(one["kappa"], one["kappa_low"], one["kappa_high"])
                shares = (_percent(one[key]) for key in ("accuracy", "false_accept", "false_reject"))
                rest = (
                    _number(one.get("auroc")),
                    _number(one.get("ece")),
                    _percent(one.get("unsure")),
                    _percent(one["unparsed"]),
                )
                table.rows.append((arm, part, one["n"], middle, *shares, *rest))
        subjects.rows.append((arm, *(_number(one["kappa"]) for one in figures["subjects"].values())))
    return [table, subjects]


def _laboratory(value: Row) -> list[Table]:
    groups = list(dict.fromkeys(group for one in value["laboratory"].values() for group in one["attacks"]))
    table = Table(
        "Laboratory",
        (
            Column("judge"),
            Column("all attacks"),
            *(Column(group, "false accepts") for group in groups),
            Column("worst"),
            Column("false rejects"),
        ),
    )
    for arm, figures in value["laboratory"].items():
        kinds = []
        for group in groups:
            rates = figures["attacks"].get(group, {}).values()
            total = sum(rate["n"] for rate in rates)
            kinds.append(_percent(sum(rate["right"] for rate in rates) / total) if total else None)
        worst = f"{figures['worst']['name']} {_percent(figures['worst']['share'])}"
        table.rows.append(
            (arm, share(figures["false_accept"]), *kinds, worst, share(figures["false_reject"]))
        )
    return [table]


def _policies(found: Mapping[str, Row]) -> list[Table]:
    heads = ("greedy", "sampled", "seen, greedy", "unseen, greedy", "length", "distinct last lines")
    table = Table("Accuracy on held-out questions", (Column("model"), *map(Column, heads)))
    keys = list(dict.fromkeys(key for value in found.values() for key in value["by_subject"]))
    parts = Table("Greedy accuracy by subject", (Column("model"), *map(Column, keys)))
    for name, value in found.items():
        novelty = (
            Accuracy.of((value["by_novelty"].get(part) or {}).get("greedy")) for part in ("seen", "unseen")
        )
        both = (Accuracy.of(value["heldout"][decoding]) for decoding in ("greedy", "sampled"))
        table.rows.append(
            (name, *both, *novelty, shown(value["lengths"]["sampled"]), _percent(value["distinct_lines"]))
        )
        parts.rows.append(
            (name, *(Accuracy.of((value["by_subject"].get(key) or {}).get("greedy")) for key in keys))
        )
    return [table, parts]


def _curves(curves: Path, models: Iterable[str], folder: Path, smoothing: int) -> list[Picture]:
    """Reward and true accuracy over the steps of every arm: a judge that is gamed shows as the one rising
    while the other falls.
    """
    files = {model: path for model in models if (path := curves / f"{model}.jsonl").is_file()}
    runs = {
        model: [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for model, path in files.items()
    }
    pictures = []
    for plot in CURVES:
        lines = []
        for place, (run, rows) in enumerate(runs.items()):
            points = [(float(row["step"]), float(row[plot.keys[0]])) for row in rows if plot.keys[0] in row]
            if points:
                turn, index = divmod(place, len(COLOURS))
                lines.append(
                    Series(
                        run,
                        [x for x, _ in points],
                        [y for _, y in points],
                        COLOURS[index],
                        DASHES[turn % len(DASHES)],
                    )
                )
        if lines:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{plot.name}.svg").write_text(
                line_chart(plot, lines, smoothing, "step", True), "utf-8"
            )
            alt = "; ".join(
                f"{line.label} from {line.values[0]:.3g} to {line.values[-1]:.3g}" for line in lines
            )
            pictures.append(Picture(f"{plot.name}.svg", f"{plot.title}: {alt}", plot.note))
    return pictures


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"
