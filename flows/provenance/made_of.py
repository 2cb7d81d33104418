"""In which parameters, code, packages and data two results differ, by the records of every run that led to
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.graph.stage_records import Entry, flatten

STAGE, PARAMETER, CODE, PACKAGE, DATA = "stage", "parameter", "code", "package", "data"


@dataclass(frozen=True)
class MadeDifferently:
    """One difference: of what kind, in which stage (`rl@grpo / rl@ppo` where the two have other names), its
    key, and both values; None where one side has no such thing.
    """

    stage: str
    kind: str
    key: str
    first: Any
    second: Any

    def as_json(self) -> dict[str, Any]:
        return dict(self.__dict__)


def made_differently(first: Sequence[Entry], second: Sequence[Entry]) -> list[MadeDifferently]:
    """first, second: the runs that led to a result, the nearest first. Stages are set against each other by
    name, then by kind, in their order. What an earlier stage made is no difference of its own.
    """
    made = {path for entry in (*first, *second) for path in entry.outs}
    rows: list[MadeDifferently] = []
    for one, other in _pairs(list(first), list(second)):
        if one is None or other is None:
            stage = (one or other).stage  # type: ignore[union-attr]
            rows.append(MadeDifferently(stage, STAGE, "", one and one.stage, other and other.stage))
            continue
        title = one.stage if one.stage == other.stage else f"{one.stage} / {other.stage}"
        for kind, values in (
            (PARAMETER, [_parameters(entry) for entry in (one, other)]),
            (CODE, [entry.code for entry in (one, other)]),
            (PACKAGE, [{**entry.environment, "python": entry.python} for entry in (one, other)]),
            (DATA, [_data(entry, made) for entry in (one, other)]),
        ):
            rows += (MadeDifferently(title, kind, *row) for row in _unequal(*values))
    return rows


def _pairs(first: list[Entry], second: list[Entry]) -> Iterator[tuple[Entry | None, Entry | None]]:
    partners: dict[str, Entry] = {}
    free = list(second)
    for same in (lambda one, other: one.stage == other.stage, lambda one, other: _kind(one) == _kind(other)):
        for entry in first:
            if entry.stage not in partners and (
                match := next((other for other in free if same(entry, other)), None)
            ):
                partners[entry.stage] = match
                free.remove(match)
    yield from ((entry, partners.get(entry.stage)) for entry in first)
    yield from ((None, entry) for entry in free)


def _kind(entry: Entry) -> str:
    return entry.stage.partition("@")[0]


def _parameters(entry: Entry) -> dict[str, Any]:
    """Returns the resolved settings by dotted key, with `NAME` in place of the member's own name."""
    member = entry.stage.partition("@")[2]
    values: dict[str, Any] = {}
    for section, value in entry.params.items():
        parts = [
            "NAME" if part == member and place else part for place, part in enumerate(section.split("."))
        ]
        values |= flatten(value, ".".join(parts))
    return values


def _data(entry: Entry, made: set[str]) -> dict[str, str]:
    return {path: digest for path, digest in entry.inputs.items() if path not in made}


def _unequal(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key in dict.fromkeys([*first, *second]):
        if first.get(key) != second.get(key):
            yield key, first.get(key), second.get(key)
