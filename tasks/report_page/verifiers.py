"""The section on verifiers: sets, judgements, agreement with exact labels, laboratory and gate, and the
policies trained on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tasks.report_page.comparison import Accuracy
from tasks.report_page.figures import COLOURS, DASHES, Plot, Series, line_chart
from tasks.report_page.files import Row, read_rows
from tasks.report_page.picture import Picture
from tasks.report_page.preference_tables import share_cell
from tasks.report_page.preferences import Block, Heading, Pictures, Section
from tasks.report_page.question_sets import CONTAMINATION, EXAMS, exam_tables
from tasks.report_page.results import CORPUS, UNSEEN
from tasks.report_page.stages import ReportedStages
from tasks.report_page.tables import Column, Estimate, Table, as_text
from tasks.stage_warnings import MARK, warnings_in

# parts of the report, which the `meta` of stages in dvc.yaml names
EXAMS_PART, JUDGED_ANSWERS, VERIFIERS = "published_exams", "judged_answers", "verifiers"
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
    stages: ReportedStages,
    metrics: Path,
    curves: Path,
    evaluations: Mapping[str, Row],
    folder: Path,
    smoothing: int,
) -> list[Section]:
    """Returns the section, and writes its figures into `folder`; empty without metrics of the branch.
    `evaluations`: those that the page shows nowhere else.
    """
    corpora, judged = stages.read(CORPUS, metrics), stages.read(JUDGED_ANSWERS, metrics)
    question_sets = {name: value for name, value in corpora.items() if UNSEEN in value}
    blocks: list[Block] = []
    if question_sets or judged:
        blocks += [
            Heading("Questions and judgements"),
            *_sets(question_sets),
            *_judgements(judged),
            JUDGED,
        ]
    if tables := exam_tables(stages.read(EXAMS_PART, metrics), question_sets):
        blocks += [Heading("Published exams"), EXAMS, *tables, CONTAMINATION]
    for name, value in stages.read(VERIFIERS, metrics).items():
        gate = value["gate"]
        words = (
            "The gate is open."
            if gate["passed"]
            else "The gate is closed: " + "; ".join(gate["reasons"]) + "."
        )
        blocks += [
            Heading(f"Verifier {name}"),
            words,
            *(f"{MARK}{warning}." for warning in warnings_in(value)),
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


def _sets(sets: Mapping[str, Row]) -> list[Table]:
    files = list(dict.fromkeys(file for value in sets.values() for file in value["records"]))
    table = Table(
        "Questions of a set by use", (Column("set"), *map(Column, files), Column("unseen subjects"))
    )
    for name, value in sets.items():
        table.rows.append(
            (
                name,
                *(value["records"].get(file) for file in files),
                ", ".join(value[UNSEEN]) or None,
            )
        )
    return [table] if sets else []


def _judgements(sets: Mapping[str, Row]) -> list[Table]:
    files = ("train", "calib", "heldout")
    columns = (
        *(Column(key, file) for file in files for key in ("judged", "right")),
        Column("teacher's accuracy"),
        Column("drift"),
    )
    table = Table("Judgements", (Column("set"), Column("teacher"), *columns))
    for name, value in sets.items():
        cells = (
            cell
            for file in files
            for cell in (value["files"][file]["n"], _percent(value["files"][file]["right"]))
        )
        right = value["files"]["train"]["teacher_accuracy"]
        drift = f"{_percent(value['drift'][0]['right'])} to {_percent(value['drift'][-1]['right'])}"
        table.rows.append((name, value["teacher"], *cells, None if right is None else _percent(right), drift))
    return [table] if sets else []


def _agreement(value: Row) -> list[Table]:
    names = ("n", "kappa", "accuracy", "false accepts", "false rejects", "AUROC", "ECE", "unsure", "unparsed")
    table = Table(
        f"Agreement with {value['labels']} labels", (Column("judge"), Column("subjects"), *map(Column, names))
    )
    subjects = Table(
        "Kappa by subject", (Column("judge"), *map(Column, next(iter(value["arms"].values()))["subjects"]))
    )
    for arm, figures in value["arms"].items():
        for part in ("seen", "responses", "variants", "unseen"):
            if measured := figures.get(part):
                middle = Estimate(measured["kappa"], measured["kappa_low"], measured["kappa_high"])
                shares = (_percent(measured[key]) for key in ("accuracy", "false_accept", "false_reject"))
                further = (
                    _number(measured.get("auroc")),
                    _number(measured.get("ece")),
                    _percent(measured.get("unsure")),
                    _percent(measured["unparsed"]),
                )
                table.rows.append((arm, part, measured["n"], middle, *shares, *further))
        subjects.rows.append(
            (arm, *(_number(measures["kappa"]) for measures in figures["subjects"].values()))
        )
    return [table, subjects]


def _laboratory(value: Row) -> list[Table]:
    groups = list(
        dict.fromkeys(group for judge in value["laboratory"].values() for group in judge["attacks"])
    )
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
            (arm, share_cell(figures["false_accept"]), *kinds, worst, share_cell(figures["false_reject"]))
        )
    return [table]


def _policies(evaluations: Mapping[str, Row]) -> list[Table]:
    heads = ("greedy", "sampled", "seen, greedy", "unseen, greedy", "length", "distinct last lines")
    table = Table("Accuracy on held-out questions", (Column("model"), *map(Column, heads)))
    keys = list(dict.fromkeys(key for value in evaluations.values() for key in value["by_subject"]))
    parts = Table("Greedy accuracy by subject", (Column("model"), *map(Column, keys)))
    for name, value in evaluations.items():
        novelty = (
            Accuracy.of((value["by_novelty"].get(part) or {}).get("greedy")) for part in ("seen", "unseen")
        )
        both = (Accuracy.of(value["heldout"][decoding]) for decoding in ("greedy", "sampled"))
        table.rows.append(
            (name, *both, *novelty, as_text(value["lengths"]["sampled"]), _percent(value["distinct_lines"]))
        )
        parts.rows.append(
            (name, *(Accuracy.of((value["by_subject"].get(key) or {}).get("greedy")) for key in keys))
        )
    return [table, parts]


def _curves(curves: Path, models: Iterable[str], folder: Path, smoothing: int) -> list[Picture]:
    """Returns reward and true accuracy over the steps of every arm. Where a judge is exploited, its reward
    rises while the accuracy falls.
    """
    files = {model: path for model in models if (path := curves / f"{model}.jsonl").is_file()}
    runs = {model: read_rows(path, f"of {model}") for model, path in files.items()}
    pictures = []
    for plot in CURVES:
        lines = []
        for number, (run, rows) in enumerate(runs.items()):
            points = [(float(row["step"]), float(row[plot.keys[0]])) for row in rows if plot.keys[0] in row]
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
