"""The table that the report leads with: every evaluated model, whatever its set, with its paired difference
from the model that its set is compared with. Runs that differ in their seed are one row.
"""

from __future__ import annotations

from collections.abc import Iterator

from tasks.report_page.comparison import Accuracy, difference
from tasks.report_page.results import Results, judged
from tasks.report_page.seed_means import mean_accuracy
from tasks.report_page.tables import DECODINGS, Cell, Column, Table
from tasks.seed_names import seed_groups

Both = dict[str, Accuracy | None]  # by decoding


def models(results: Results) -> Table:
    """Returns the table; on the report's set the baseline is what the others are set against, on another set
    the first evaluation there.
    """
    heads = ("accuracy", "difference")
    columns = (Column(head, decoding) for decoding in DECODINGS for head in heads)
    table = Table(
        "All models", (Column("model"), Column("set"), Column("seeds"), *columns, Column("against"))
    )
    for data, measured in _by_set(results):
        against = (
            results.baseline
            if results.baseline in measured and data == results.data
            else next(iter(measured))
        )
        for name, seeds, both in _rows(measured):
            cells: list[Cell] = []
            for decoding in DECODINGS:
                base = measured[against][decoding] if name != against else None
                cells += [both[decoding], difference(both[decoding], base)]
            other = against if name != against else None
            table.rows.append((name, data, str(seeds) if seeds > 1 else None, *cells, other))
    return table


def _by_set(results: Results) -> Iterator[tuple[str, dict[str, Both]]]:
    """Yields every set with the accuracies of the models that were evaluated on it."""
    if results.models:
        own = {name: {way: results.accuracy(name, way) for way in DECODINGS} for name in results.models}
        yield results.data, own
    sets: dict[str, dict[str, Both]] = {}
    for name, evaluation in results.others.items():
        rows = results.other_samples.get(name, [])
        sets.setdefault(str(evaluation.get("data", "")), {})[name] = {
            way: Accuracy.of(
                evaluation["heldout"].get(way),
                judged((row for row in rows if row["decoding"] == way), evaluation),
            )
            for way in DECODINGS
        }
    yield from sets.items()


def _rows(measured: dict[str, Both]) -> Iterator[tuple[str, int, Both]]:
    """Yields (name, number of seeds, accuracies); the seeds of a run where the first of them stands."""
    groups = seed_groups(measured)
    group_of = {name: group for group, members in groups.items() for name in members.values()}
    for name, both in measured.items():
        group = group_of.get(name)
        if group is None:
            yield name, 1, both
        elif name == next(iter(groups[group].values())):
            members = [measured[member] for member in groups[group].values()]
            means = {way: mean_accuracy([one[way] for one in members]) for way in DECODINGS}
            yield group, len(members), means
