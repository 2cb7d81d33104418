"""The report's tables as data, built once and written twice: the page and the markdown cannot disagree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.report_page.comparison import Accuracy, Difference, difference
from tasks.report_page.pairs import by_kind, pair
from tasks.report_page.results import BASELINE, Results

Cell = str | int | Accuracy | Difference | None
DECODINGS = ("greedy", "sampled")


@dataclass(frozen=True)
class Column:
    """A column's name, and the group of columns it stands in."""

    name: str
    group: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first column names the row."""

    title: str
    columns: tuple[Column, ...]
    rows: list[tuple[Cell, ...]] = field(default_factory=list)


def headline(results: Results) -> Table:
    """Accuracy on the held-out problems, before and after."""
    figures = tuple(Column(name, decoding) for decoding in DECODINGS for name in ("accuracy", "right / n"))
    table = Table("Accuracy on held-out problems", (Column("model"), Column("stage"), *figures))
    for model in results.models:
        greedy, sampled = (_accuracy(results, model, decoding) for decoding in DECODINGS)
        table.rows.append((model, _moment(results, model), greedy, _counted(greedy), sampled, _counted(sampled)))
    return table


def control(results: Results) -> Table:
    """Three comparisons per method; the last is the control: sampling colder is free, so RL has to beat that too."""
    table = Table("What reinforcement learning changed", tuple(map(Column, ("comparison", "before", "after", "difference", "reading"))))
    for method in results.compared:
        for after, before in (("sampled", "sampled"), ("greedy", "greedy"), ("sampled", "greedy")):
            name = f"{method} {after} vs {BASELINE} {before}" + (" (control)" if after != before else "")
            first, second = _accuracy(results, BASELINE, before), _accuracy(results, method, after)
            change = difference(second, first)
            table.rows.append((name, first, second, change, change.reading if change else None))
    return table


def breakdown(results: Results, part: str, title: str, name: str) -> Table | None:
    """Accuracy by subject or level (`part`: by_subject, by_level) for every model; None when no evaluation has that part."""
    keys = {key for model in results.models for key in results.evaluations[model].get(part) or {}}
    if not keys:
        return None
    columns = [Column(name), Column("n")]
    for decoding in DECODINGS:
        for model in results.models:
            columns.append(Column(model, decoding))
            if model in results.compared:
                columns.append(Column(f"{model} − {BASELINE}", decoding))
    table = Table(title, tuple(columns))
    for key in sorted(keys, key=_natural):
        table.rows.append((key, *_breakdown_row(results, part, key)))
    return table


def changes(results: Results, decoding: str) -> Table:
    """How many of the sampled problems each method gained and lost."""
    kinds = tuple(by_kind([]))
    table = Table(f"Problems gained and lost, {decoding}", tuple(map(Column, ("method", "problems", *kinds))))
    for method in results.compared:
        pairs = pair(results.samples[BASELINE], results.samples[method], decoding)
        groups = by_kind(pairs)
        table.rows.append((method, len(pairs), *(len(groups[kind]) for kind in kinds)))
    return table


def behaviour(results: Results) -> Table:
    """How the models answer: lengths, entropy, share of answers that ended by themselves."""
    rows = {}
    for model in results.models:
        evaluation = results.evaluations[model]
        rows[model] = dict(leaves({key: evaluation[key] for key in ("entropy", "finished", "lengths") if key in evaluation}))
    return _by_model("How the models answer", "figure", rows)


def training(results: Results) -> Table:
    """Final figures of every trained stage."""
    return _by_model("Training in figures", "figure", {name: dict(leaves(value)) for name, value in results.training.items()})


def counts(results: Results) -> list[Table]:
    """What the corpus stage kept, by split, and what it read and dropped. A part counts as by split when its keys are names of splits."""
    splits = tuple(results.counts.get("records") or {})
    by_split = {part: value for part, value in results.counts.items() if isinstance(value, Mapping) and value and set(value) <= set(splits)}
    rest = {part: value for part, value in results.counts.items() if part not in by_split and part != "corpus"}
    tables = []
    if by_split:
        kept = Table(f"Corpus {results.corpus}, by split", (Column("what"), *map(Column, splits)))
        for part, value in by_split.items():
            columns = [dict(leaves({part: value.get(split)})) for split in splits]
            names = dict.fromkeys(name for column in columns for name in column if column[name] is not None)
            kept.rows.extend((named(name), *(shown(column.get(name)) for column in columns)) for name in names)
        tables.append(kept)
    made = Table(f"Corpus {results.corpus}", (Column("what"), Column("count")))
    made.rows.extend((named(name), shown(value)) for name, value in leaves(rest))
    return [*tables, made]


def settings(results: Results) -> Table:
    """The evaluation's settings, as the metrics record them."""
    return _by_model(
        "Evaluation settings", "setting", {m: dict(leaves(results.evaluations[m].get("settings") or {})) for m in results.models}
    )


def leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A nested object as dotted names and plain values, in its own order; a list of plain values is one of them."""
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping):
            yield from leaves(item, f"{name}.")
        elif isinstance(item, list) and any(isinstance(one, (Mapping, list)) for one in item):
            yield from leaves({str(place): one for place, one in enumerate(item)}, f"{name}.")
        else:
            yield name, item


def shown(value: Any) -> str:
    """A plain value as people read it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) >= 1000 else f"{value:.4g}"
    return (", ".join(map(str, value)) or "–") if isinstance(value, list) else str(value)


def named(key: str) -> str:
    """`dropped.near_duplicates` -> `dropped: near duplicates`."""
    return key.replace(".", ": ").replace("_", " ")


def _by_model(title: str, name: str, rows: dict[str, dict[str, Any]]) -> Table:
    names = list(dict.fromkeys(key for row in rows.values() for key in row))
    table = Table(title, (Column(name), *map(Column, rows)))
    table.rows.extend((named(key), *(shown(row.get(key)) for row in rows.values())) for key in names)
    return table


def _breakdown_row(results: Results, part: str, key: str) -> list[Cell]:
    found = {
        (model, decoding): Accuracy.of((results.evaluations[model].get(part) or {}).get(key, {}).get(decoding))
        for model in results.models
        for decoding in DECODINGS
    }
    sizes = sorted({one.n for one in found.values() if one})
    cells: list[Cell] = [" / ".join(map(str, sizes))]
    for decoding in DECODINGS:
        for model in results.models:
            cells.append(found[model, decoding])
            if model in results.compared:
                cells.append(difference(found[model, decoding], found[BASELINE, decoding]))
    return cells


def _accuracy(results: Results, model: str, decoding: str) -> Accuracy | None:
    return Accuracy.of(results.evaluations[model]["heldout"][decoding])


def _moment(results: Results, model: str) -> str:
    if model in results.methods:
        return "after RL"
    return {BASELINE: "before RL", "base": "before SFT"}.get(model, "reference")


def _counted(accuracy: Accuracy | None) -> str | None:
    if accuracy is None:
        return None
    return f"{accuracy.right} / {accuracy.n}" + (f" ({accuracy.errors} errors)" if accuracy.errors else "")


def _natural(key: str) -> tuple[int, float, str]:
    try:
        return 0, float(key), key
    except ValueError:
        return 1, 0.0, key
