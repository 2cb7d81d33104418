"""The tables of the preference branch: sets, reward models, assessed policies, matches, and the policies of
the theory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.report_page.comparison import Accuracy, difference, means_by_question
from tasks.report_page.preference_results import PreferenceResults, Row
from tasks.report_page.tables import (
    Cell,
    Column,
    Compared,
    Estimate,
    Table,
    as_text,
    by_model,
    leaves,
    readable,
)

SHOWN = ("kind", "pairs", "prompts", "samples")  # in tables of their own
# what an answer may be, and the column of an assessment's samples that says it
GRADES = {"accuracy": "verdict", "rule": "safe_by_rule", "cost": "safe_by_cost"}
# of a set's counts: what became of the rows
GROUPS = {"rows", "removed", "pairing", "source", "cut", "leakage"}


def sets(results: PreferenceResults) -> list[Table]:
    """Returns the tables of pairs and prompts of every set by split, and of the counts of what each filter
    removed.
    """
    splits = list(dict.fromkeys(split for value in results.sets.values() for split in value.get("pairs", {})))
    columns = (
        Column("set"),
        Column("kind"),
        *(Column(split, group) for group in ("pairs", "prompts") for split in splits),
    )
    sizes = Table("Preference sets", columns)
    for name, value in results.sets.items():
        counted = (value.get(group, {}).get(split) for group in ("pairs", "prompts") for split in splits)
        sizes.rows.append((name, value.get("kind"), *counted))
    remaining = {
        name: {key: item for key, item in value.items() if key not in SHOWN and item != name}
        for name, value in results.sets.items()
    }
    filters = {
        name: {key: item for key, item in leaves(value) if key.partition(".")[0] in GROUPS}
        for name, value in remaining.items()
    }
    descriptions = {
        name: {key: item for key, item in leaves(value) if key.partition(".")[0] not in GROUPS}
        for name, value in remaining.items()
    }
    titled = [("What became of the rows", filters), ("Classes and lengths", descriptions)]
    return [
        sizes,
        *_samples(results),
        *(by_model(title, "what", rows) for title, rows in titled if any(rows.values())),
    ]


def _samples(results: PreferenceResults) -> list[Table]:
    """Returns the table of a model's own samples as their judge scored them, by set and side, with the rounds
    of iterative DPO.
    """
    heads = ("set", "side", "mean reward", "right", "finished", "tokens", "errors")
    table = Table("Judged samples", tuple(map(Column, heads)))
    for name, value in results.sets.items():
        for side, figures in value.get("samples", {}).items():
            means = (as_text(figures[key]) for key in ("reward", "accuracy", "finished", "length"))
            table.rows.append((name, side, *means, figures["errors"]))
    return [table] if table.rows else []


def reward_models(results: PreferenceResults) -> list[Table]:
    """Returns the table of held-out accuracy, margin and calibration, and of accuracy by source where a set
    has several.
    """
    heads = ("model", "kind", "set", "pairs", "accuracy", "ties", "margin")
    columns = (
        *map(Column, heads),
        *(Column(name, "calibration") for name in ("ECE", "Brier", "log loss", "temperature")),
    )
    table = Table("Reward models on held-out pairs", columns)
    for name, value in results.reward_models.items():
        means = (as_text(value["calibration"][key]) for key in ("ece", "brier", "log_loss", "temperature"))
        table.rows.append(
            (
                name,
                value.get("kind"),
                value.get("data"),
                value["pairs"],
                share_cell(value["accuracy"]),
                value["ties"],
                mean_cell(value["margin"]),
                *means,
            )
        )
    sources = list(
        dict.fromkeys(source for value in results.reward_models.values() for source in value["by_source"])
    )
    if not sources:
        return [table]
    parts = Table("Accuracy by source", (Column("model"), *map(Column, sources)))
    for name, value in results.reward_models.items():
        parts.rows.append(
            (name, *(share_cell(value["by_source"].get(source, {}).get("accuracy")) for source in sources))
        )
    return [table, parts]


def policies(results: PreferenceResults) -> list[Table]:
    """Returns the tables of the assessment of each model: how good and safe its answers are, and how far it
    is from its reference.
    """
    answer_columns = ("accuracy", "reward", "cost", "safe by rule", "safe by cost", "degenerate")
    table = Table(
        "Assessed policies: their answers",
        (Column("model"), Column("answers"), *map(Column, (*answer_columns, "length"))),
    )
    distance_columns = (
        "reference",
        "KL per answer",
        "KL per token",
        "out of distribution",
        "implicit accuracy",
        "implicit margin",
    )
    distance = Table(
        "Assessed policies: distance from the reference", (Column("model"), *map(Column, distance_columns))
    )
    for name, value in results.assessed.items():
        reference = value.get("reference", "") if value.get("reference") != name else ""
        right, rule, cost = (
            with_change(_graded(results, name, grade), _graded(results, reference, grade)) for grade in GRADES
        )
        grades = (
            right,
            mean_cell(value["reward"]),
            mean_cell(value["cost"]),
            rule,
            cost,
            share_cell(value["degenerate"]),
        )
        table.rows.append((name, value["answers"], *grades, as_text(float(value["length"]))))
        implicit, kl = value.get("implicit") or {}, value["kl"]
        implied = (share_cell(implicit.get("accuracy")), mean_cell(implicit.get("margin")))
        distance.rows.append(
            (
                name,
                value.get("reference"),
                mean_cell(kl["sequence"]),
                mean_cell(kl["token"]),
                share_cell(value["out_of_distribution"]),
                *implied,
            )
        )
    return [table, distance]


def _graded(results: PreferenceResults, model: str, grade: str) -> Accuracy | None:
    """Returns the share of a model's answers with a grade of `GRADES`; None where it was not assessed."""
    value = results.assessed.get(model)
    if value is None:
        return None
    column = GRADES[grade]
    rows = (row for row in results.answers.get(model, ()) if row.get(column) not in (None, "error"))
    answers = means_by_question((row["id"], row[column] in (True, "right")) for row in rows)
    return share_cell(value["accuracy"] if grade == "accuracy" else value["safety"][grade], answers)


def boards(results: PreferenceResults) -> list[Table]:
    """Returns a table of matches for each board."""
    tables = []
    for name, board in results.boards.items():
        heads = ("match", "prompts", "win", "tie", "lose", "net", "judged differently by order", "errors")
        table = Table(f"Win, tie, lose: {name}, judged by {board['judge']}", tuple(map(Column, heads)))
        for match in board["matches"]:
            cells = (share_cell(match[key]) for key in ("win", "tie", "lose"))
            title = f"{match['first']} against {match['second']}"
            table.rows.append(
                (
                    title,
                    match["prompts"],
                    *cells,
                    mean_cell(match["net"]),
                    match["inconsistent"],
                    match["errors"],
                )
            )
        tables.append(table)
    return tables


FIGURES = {
    "raised_cells": "raised cells",
    "largest_rise": "largest rise",
    "uncovered_mass": "uncovered mass",
    "diagonal": "best answer most likely",
    "true_reward": "true reward",
}


def theory(value: Row) -> list[Table]:
    """Returns the tables of every kind of policy over the worlds, of the effect, and of the sweep over DPO
    steps.
    """
    tables = []
    for kind in ("network", "table"):
        if kind not in value:
            continue
        part, settings = value[kind], value["settings"]
        form = "network" if kind == "network" else "table of logits"
        title = f"{settings['seeds']} worlds, policy a {form} (mean, 95 % interval; least to most)"
        table = Table(title, (Column("policy"), *(Column(FIGURES[name]) for name in FIGURES)))
        table.rows.extend(
            (readable(name), *(spread_cell(figures[key]) for key in FIGURES))
            for name, figures in part["policies"].items()
        )
        table.rows.append(("DPO minus PPO", *(spread_cell(part["effect"][key]) for key in FIGURES)))
        sweep = Table(
            f"DPO by its steps, policy a {kind}",
            tuple(map(Column, ("steps", "loss", "worlds with a raised cell", *FIGURES.values()))),
        )
        for row in part["sweep"]:
            sweep.rows.append(
                (
                    as_text(row["steps"]),
                    spread_cell(row["loss"]),
                    share_cell(row["seeds_with_raised"]),
                    *(spread_cell(row[key]) for key in FIGURES),
                )
            )
        tables += [table, sweep]
    return [*tables, three_actions(value["three_actions"])]


def three_actions(value: Row) -> Table:
    """Returns the table of the counterexample: policies over three answers, of which the pair y1 > y2 covers
    two.
    """
    table = Table(
        "Three answers, one pair y1 > y2 (theorem 4.1), at beta 1",
        tuple(map(Column, ("policy", "y1", "y2", "y3", "DPO loss"))),
    )
    for name, policy in value["policies"].items():
        table.rows.append((name, *map(as_text, policy), as_text(value["loss"][name])))
    descent = (
        ("gradient descent from y3 = 0.9", "end", value["end_loss"]),
        ("the same from a uniform policy", "even_end", None),
    )
    table.rows.extend(
        (name, *(f"{probability:.3f}" for probability in value[key]), as_text(loss))
        for name, key, loss in descent
    )
    return table


def share_cell(
    value: Mapping[str, Any] | None, answers: Mapping[str, float] | None = None
) -> Accuracy | None:
    """Returns a share with its interval as a cell; None where there is none."""
    if not value or not value["n"]:
        return None
    return Accuracy(value["n"], value["right"], 0, value["share"], value["low"], value["high"], answers or {})


def mean_cell(value: Mapping[str, Any] | None) -> Estimate | None:
    return (
        None if not value or value["mean"] is None else Estimate(value["mean"], value["low"], value["high"])
    )


def spread_cell(value: Mapping[str, Any]) -> Estimate:
    """Returns a mean over worlds as a cell, with the least and the most."""
    return Estimate(value["mean"], value["low"], value["high"], value["least"], value["most"])


def with_change(value: Accuracy | None, base: Accuracy | None) -> Cell:
    change = difference(value, base)
    return Compared(value, change) if value and change else value
