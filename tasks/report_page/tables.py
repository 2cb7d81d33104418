"""The report's tables as data, from which both the page and the Markdown text are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.report_page.comparison import Accuracy, AccuracyDifference, difference
from tasks.report_page.pairs import by_kind, pair
from tasks.report_page.results import Results


@dataclass(frozen=True)
class Wall:
    """A cell for the wall time of whichever of these stages has run. The page's script fills it in."""

    stages: tuple[str, ...]


@dataclass(frozen=True)
class Compared:
    """An accuracy with its difference from the baseline below it."""

    accuracy: Accuracy
    change: AccuracyDifference


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval and, over several runs, the least and the most of them."""

    value: float
    low: float
    high: float
    least: float | None = None
    most: float | None = None


Cell = str | int | Estimate | Accuracy | AccuracyDifference | Compared | Wall | None
DECODINGS = ("greedy", "sampled")


@dataclass(frozen=True)
class Column:
    """A column's name, and the group of columns it stands in."""

    name: str
    group: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first column names the row. `prose` cells are long texts that may be broken;
    `folded`: the page shows it on a click, for it is seldom needed.
    """

    title: str
    columns: tuple[Column, ...]
    rows: list[tuple[Cell, ...]] = field(default_factory=list)
    prose: bool = False
    folded: bool = False


def headline(results: Results, timed: bool = False) -> Table:
    """Returns the table of accuracies on the held-out problems before and after, and of what the training
    took; `timed` adds a column for wall times, which only the page has.
    """
    figures = tuple(Column(name, decoding) for decoding in DECODINGS for name in ("accuracy", "right / n"))
    cost = tuple(
        Column(name, "training") for name in ("iterations", "sampled tokens", "updates", "last entropy")
    )
    time = (Column("wall time", "training"),) if timed else ()
    table = Table("Accuracy on held-out problems", (Column("model"), *figures, *cost, *time))
    for model in dict.fromkeys((*results.models, *results.methods)):
        greedy, sampled = (results.accuracy(model, decoding) for decoding in DECODINGS)
        row = (model, greedy, _counted(greedy), sampled, _counted(sampled), *_cost(results, model))
        table.rows.append((*row, Wall(results.makers[model])) if timed else row)
    return table


def methods(results: Results) -> Table | None:
    """Returns the methods of all runs of rl as the stages that trained them recorded them, whatever gives
    their reward; None where no stage did.
    """
    words = {name: value.get("method") or {} for name, value in results.policies.items()}
    names = list(dict.fromkeys(key for row in words.values() for key in row))
    if not names:
        return None
    table = Table(
        "What the methods are (prompts and updates of an iteration)",
        (Column("method"), *map(Column, names)),
        prose=True,
    )
    table.rows.extend((name, *(row.get(key) or None for key in names)) for name, row in words.items())
    return table


def control(results: Results) -> Table:
    """Returns the table of three comparisons per method. The last one is the control: sampling at a lower
    temperature is free, so RL has to beat that too.
    """
    kinds = (("greedy", "greedy"), ("sampled", "sampled"), ("sampled", "greedy"))
    groups = [
        f"{after} vs {results.baseline} {before}" + (" (control)" if after != before else "")
        for after, before in kinds
    ]
    columns = (Column(name, group) for group in groups for name in ("difference", "reading"))
    table = Table("What reinforcement learning changed", (Column("method"), *columns))
    for method in results.compared:
        changed = [
            difference(results.accuracy(method, after), results.accuracy(results.baseline, before))
            for after, before in kinds
        ]
        table.rows.append(
            (method, *(cell for change in changed for cell in (change, change.reading if change else None)))
        )
    return table


def breakdown(results: Results, part: str, title: str) -> list[Table]:
    """Returns the accuracy of every model by subject or level (`part`: by_subject, by_level), a table for
    each decoding that has such figures.
    """
    tables = []
    for decoding in DECODINGS:
        by_name = {
            model: {
                key: results.accuracy(model, decoding, part, key)
                for key in results.evaluations[model].get(part) or {}
            }
            for model in results.models
        }
        keys = sorted({key for row in by_name.values() for key in row}, key=_natural)
        if not keys:
            continue
        sizes = {
            key: sorted({accuracy.n for row in by_name.values() if (accuracy := row.get(key))})
            for key in keys
        }
        columns = (Column(f"{key} (n {' / '.join(map(str, sizes[key]))})") for key in keys)
        table = Table(f"{title}, {decoding}", (Column("model"), *columns), folded=decoding != DECODINGS[0])
        for model, row in by_name.items():
            base = by_name[results.baseline] if model in results.compared else {}
            table.rows.append((model, *(_with_change(row.get(key), base.get(key)) for key in keys)))
        tables.append(table)
    return tables


def changes(results: Results, decoding: str) -> Table:
    """Returns the numbers of problems that each method gained and lost."""
    kinds = tuple(by_kind([]))
    table = Table(f"Problems gained and lost, {decoding}", tuple(map(Column, ("method", "problems", *kinds))))
    for method in results.compared:
        pairs = pair(results.samples[results.baseline], results.samples[method], decoding)
        groups = by_kind(pairs)
        table.rows.append((method, len(pairs), *(len(groups[kind]) for kind in kinds)))
    return table


def behaviour(results: Results) -> Table:
    """Returns the table of lengths, entropy and share of finished answers of the models."""
    rows = {}
    for model in results.models:
        evaluation = results.evaluations[model]
        rows[model] = dict(
            leaves({key: evaluation[key] for key in ("entropy", "finished", "lengths") if key in evaluation})
        )
    return by_model("How the models answer", "figure", rows)


def training(results: Results) -> Table:
    """Returns the table of final figures of every training stage."""
    figures = {
        name: {key: item for key, item in value.items() if key not in ("method", "rows", "warnings")}
        for name, value in results.training.items()
    }
    return by_model(
        "Training in figures", "figure", {name: dict(leaves(value)) for name, value in figures.items()}
    )


def counts(results: Results) -> list[Table]:
    """Returns the tables of what the corpus stage kept, by split, and of what it read and dropped. A part
    counts as by split when its keys are names of splits.
    """
    splits = tuple(results.counts.get("records") or {})
    by_split = {
        part: value
        for part, value in results.counts.items()
        if isinstance(value, Mapping) and value and set(value) <= set(splits)
    }
    remaining = {
        part: value for part, value in results.counts.items() if part not in by_split and part != "corpus"
    }
    tables = []
    if by_split:
        split_table = Table(f"Corpus {results.data}, by split", (Column("what"), *map(Column, splits)))
        for part, value in by_split.items():
            columns = [dict(leaves({part: value.get(split)})) for split in splits]
            names = dict.fromkeys(name for column in columns for name in column if column[name] is not None)
            split_table.rows.extend(
                (readable(name), *(as_text(column.get(name)) for column in columns)) for name in names
            )
        tables.append(split_table)
    totals = Table(f"Corpus {results.data}", (Column("what"), Column("count")), folded=True)
    totals.rows.extend((readable(name), as_text(value)) for name, value in leaves(remaining))
    return [*tables, totals]


def settings(results: Results) -> Table:
    """Returns the table of the evaluation's settings, as the metrics record them; one row where they are
    equal for every model.
    """
    rows = {model: dict(leaves(results.evaluations[model].get("settings") or {})) for model in results.models}
    if len(rows) > 1 and all(row == rows[results.models[0]] for row in rows.values()):
        rows = {"every model": rows[results.models[0]]}
    return by_model("Evaluation settings", "setting", rows)


def leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the (dotted name, plain value) pairs of a nested object, in its own order; a list of plain
    values is one value.
    """
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping):
            yield from leaves(item, f"{name}.")
        elif isinstance(item, list) and any(isinstance(part, (Mapping, list)) for part in item):
            yield from leaves({str(index): part for index, part in enumerate(item)}, f"{name}.")
        else:
            yield name, item


def as_text(value: Any) -> str:
    """Returns a plain value as text."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) >= 1000 else f"{value:.4g}"
    return (", ".join(map(str, value)) or "–") if isinstance(value, list) else str(value)


def readable(key: str) -> str:
    """Returns `dropped.near_duplicates` as `dropped: near duplicates`."""
    return key.replace(".", ": ").replace("_", " ")


def by_model(title: str, name: str, rows: dict[str, dict[str, Any]], folded: bool = True) -> Table:
    """Returns the table of figures by model, with the longer side as rows."""
    names = list(dict.fromkeys(key for row in rows.values() for key in row))
    if len(rows) > len(names):
        columns = (Column("model"), *(Column(readable(key)) for key in names))
        table = Table(title, columns, folded=folded)
        table.rows.extend((model, *(as_text(row.get(key)) for key in names)) for model, row in rows.items())
        return table
    table = Table(title, (Column(name), *map(Column, rows)), folded=folded)
    table.rows.extend((readable(key), *(as_text(row.get(key)) for row in rows.values())) for key in names)
    return table


def _with_change(value: Accuracy | None, base: Accuracy | None) -> Accuracy | Compared | None:
    change = difference(value, base)
    return Compared(value, change) if value and change else value


def _cost(results: Results, model: str) -> tuple[Cell, ...]:
    """Returns iterations, sampled tokens, updates and the last entropy of a run of rl; None for what it does
    not have.
    """
    figures = results.policies.get(model, {})
    values = (figures.get(name) for name in ("iterations", "sampled_tokens", "updates", "entropy"))
    return tuple(None if value is None else as_text(value) for value in values)


def _counted(accuracy: Accuracy | None) -> str | None:
    if accuracy is None:
        return None
    return f"{accuracy.right} / {accuracy.n}" + (f" ({accuracy.errors} errors)" if accuracy.errors else "")


def _natural(key: str) -> tuple[int, float, str]:
    try:
        return 0, float(key), key
    except ValueError:
        return 1, 0.0, key
