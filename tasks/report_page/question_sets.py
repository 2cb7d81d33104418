"""Tables on multi-subject sets: what each rule removed from a published exam, and what was removed as a
duplicate or because an evaluation set holds it (reward_bridge.md 1.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tasks.report_page.files import Row
from tasks.report_page.tables import Cell, Column, Table

HELD = ("text", "run", "near")
EXAMS = (
    "Of an exam's rows, those that stand alone without their options stay: free-form ones and multiple "
    "choice whose gold option became the "
    "reference. Each row that left counts once, under the first rule that took it. A set keeps one question "
    "of a cluster of near-duplicates"
    " and none of a cluster whose references disagree."
)
CONTAMINATION = (
    "Questions of a split that were taken out because an evaluation set holds the same text, a run of its "
    "words, or nearly the same "
    "question. The test split stays whole but for exams that are evaluated elsewhere; the others give way to "
    "it."
)


def exam_tables(exams: Mapping[str, Row], sets: Mapping[str, Row]) -> list[Table]:
    """Returns the tables of what was kept and what was removed, and why, from `metrics/exams/<exam>.json` and
    `metrics/corpus/<set>.json`; empty without exams.
    """
    return [
        table
        for table in (_conversion(exams), _shapes(exams), _clusters(sets), _contamination(sets))
        if table.rows
    ]


def _conversion(exams: Mapping[str, Row]) -> Table:
    rules = [
        rule
        for rule in _union(value["conversion"] for value in exams.values())
        if not rule.startswith("kept")
    ]
    columns = (
        Column("exam"),
        Column("rows"),
        Column("bad"),
        Column("multiple choice", "kept"),
        Column("free form", "kept"),
    )
    table = Table(
        "Published exams", (*columns, *(Column(rule.replace("_", " "), "left out") for rule in rules))
    )
    for name, value in exams.items():
        counts, source = value["conversion"], value["source"]
        kept = (counts["kept_multiple_choice"], counts["kept_free_form"])
        table.rows.append((name, source["read"], source["bad"], *kept, *(counts[rule] for rule in rules)))
    return table


def _shapes(exams: Mapping[str, Row]) -> Table:
    groups = {
        "field": _union(value["fields"] for value in exams.values()),
        "reference": _union(value["shapes"] for value in exams.values()),
    }
    columns = tuple(
        Column(name.replace("_", " "), group) for group, names in groups.items() for name in names
    )
    table = Table("Questions of exams by field and shape of the reference", (Column("exam"), *columns))
    for name, value in exams.items():
        fields = [value["fields"].get(field, 0) for field in groups["field"]]
        table.rows.append((name, *fields, *(value["shapes"].get(shape, 0) for shape in groups["reference"])))
    return table


def _clusters(sets: Mapping[str, Row]) -> Table:
    united = {name: value["united"] for name, value in sets.items() if "united" in value}
    reasons = _union(value["duplicates"] for value in united.values())
    table = Table(
        "Near-duplicates of a set",
        (Column("set"), Column("questions"), *(Column(reason.replace("_", " ")) for reason in reasons)),
    )
    for name, value in united.items():
        table.rows.append((name, value["limited"], *(value["duplicates"][reason] for reason in reasons)))
    return table


def _contamination(sets: Mapping[str, Row]) -> Table:
    table = Table(
        "Taken out for an evaluation set",
        (Column("set"), Column("split"), Column("held by"), *map(Column, HELD)),
    )
    for name, value in sets.items():
        for split, held in value.get("united", {}).get("contamination", {}).items():
            for other, counts in held.items():
                cells: tuple[Cell, ...] = tuple(counts.get(reason, 0) for reason in HELD)
                table.rows.append((name, split, other, *cells))
    return table


def _union(rows: Iterable[Row]) -> list[str]:
    """Returns the keys with a count in any row, in the order of their first appearance."""
    return list(dict.fromkeys(key for row in rows for key, count in row.items() if count))
