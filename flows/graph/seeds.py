"""Several seeds of a run: `seeds: [0, 1]` in the run NAME makes the runs NAME_s0 and NAME_s1 of it, each with
its seed, and the same of every member that refers to it (an evaluation, what starts from its model).

DVC runs through the members that stand in params.yaml, so `whetstone use` and `whetstone run` write them
there; everything else reads the file as if they stood there. What a run starts and learns from is made once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.graph.families import Family, at, families
from flows.graph.params_file import PARAMS, ParamsError, load_with_comments, read_yaml, save_with_comments
from flows.graph.references import Graph, StageOf
from tasks.seed_names import member_name

SEED, SEEDS = "seed", "seeds"
Place = tuple[str, ...]  # of a member: ("rl", "runs", "grpo")


@dataclass(frozen=True)
class Variant:
    """A member that another becomes: its name, and the settings that it changes, by path."""

    name: str
    changes: dict[Place, Any]


def expanded(raw: Any, root: Path | None = None) -> Any:
    """Returns the values with a member for each seed; a copy where some run has several. Raises ParamsError
    where what they refer to cannot be told.
    """
    variants = _variants(raw, root)
    if not variants:
        return raw
    raw = copy.deepcopy(raw)
    for place, members in variants.items():
        holder = at(raw, place[:-1])
        items = [
            (variant.name, _changed(value, variant)) if name == place[-1] else (name, value)
            for name, value in holder.items()
            for variant in (members if name == place[-1] else members[:1])
        ]
        holder.clear()
        holder.update(items)
    return raw


def expand(document: Any, root: Path | None = None) -> list[str]:
    """Put a member for each seed into a document of `params_file.document_of`. Returns their keys."""
    keys = []
    for place, members in _variants(document, root).items():
        *above, name = place
        holder = at(document, above)
        position, value = list(holder).index(name), holder.pop(name)
        for offset, variant in enumerate(members):
            holder.insert(position + offset, variant.name, _changed(copy.deepcopy(value), variant))
            keys.append(".".join((*above, variant.name)))
    return keys


def write(root: Path) -> list[str]:
    """Write the members of runs with several seeds into params.yaml. Returns their keys; none where the file
    has no such run, or cannot be read (its check reports why). Call it while no other run uses the file.
    """
    try:
        if not _variants(read_yaml(root / PARAMS), root):
            return []
        document = load_with_comments(root / PARAMS)
        keys = expand(document, root)
    except ParamsError:
        return []
    save_with_comments(root / PARAMS, document)
    return keys


def named(raw: Any, root: Path | None = None) -> bool:
    """Returns whether some run has several seeds. Raises as `expanded` does."""
    return bool(_variants(raw, root))


def _changed(value: Any, variant: Variant) -> Any:
    value = copy.copy(value) if isinstance(value, dict) else value
    for path, setting in variant.changes.items():
        *above, last = path
        holder = at(value, above)
        if setting is None:
            holder.pop(last, None)
        else:
            holder[last] = setting
    return value


def _variants(raw: Any, root: Path | None) -> dict[Place, list[Variant]]:
    """Returns {member: what becomes of it}: of runs with several seeds, and of what refers to them."""
    own = dict(_own(raw, root))
    if not own:
        return {}
    graph, seeds = Graph(raw, root), dict(own)
    changes: dict[Place, dict[int, dict[Place, Any]]] = {
        place: {seed: {(SEEDS,): None, (SEED,): seed} for seed in own[place]} for place in own
    }
    count = -1
    while count != (count := _count(changes)):
        for stage in graph.stages:
            for setting, value, maker in _references(graph, stage, seeds):
                place = _place(stage)
                if seeds.setdefault(place, seeds[maker]) != seeds[maker]:
                    raise ParamsError(
                        [
                            f"{PARAMS}: {'.'.join(place)}: its seeds are {list(seeds[place])}, those of "
                            f"{'.'.join(maker)}, which it refers to, {list(seeds[maker])}; make them equal"
                        ]
                    )
                for seed in seeds[place]:
                    rows = changes.setdefault(place, {}).setdefault(seed, {})
                    if setting:
                        rows[setting] = _renamed(value, maker[-1], seed)
    return {
        place: [_variant(raw, place, seed, changes[place][seed]) for seed in seeds[place]] for place in seeds
    }


def _count(changes: dict[Place, dict[int, dict[Place, Any]]]) -> int:
    """Returns how many settings of members change so far; each has one row even without a setting."""
    return sum(1 + len(row) for member in changes.values() for row in member.values())


def _variant(raw: Any, place: Place, seed: int, changes: dict[Place, Any]) -> Variant:
    name = member_name(place[-1], seed)
    if name in at(raw, place[:-1]):
        raise ParamsError([f"{PARAMS}: {'.'.join(place)}: the name {name} of its seed {seed} is taken"])
    return Variant(name, changes)


def _own(raw: Any, root: Path | None) -> Iterator[tuple[Place, tuple[int, ...]]]:
    """Yields the runs with several seeds; a list that is none is left to the check."""
    for family in _seeded(root):
        members = at(raw, family.over)
        for name, item in members.items() if isinstance(members, dict) else ():
            seeds = item.get(SEEDS) if isinstance(item, dict) else None
            if isinstance(seeds, list) and seeds and _are_seeds(seeds):
                yield (*family.over, str(name)), tuple(map(int, seeds))


def _are_seeds(values: list[Any]) -> bool:
    # ruamel's own classes of numbers among them
    whole = all(isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 2**31 for seed in values)
    return whole and len(set(values)) == len(values)


def _seeded(root: Path | None) -> list[Family]:
    """Returns the families whose members have a seed of their own."""
    return [
        family for family in families(root) if any(default.setting == (SEED,) for default in family.defaults)
    ]


def _references(
    graph: Graph, stage: StageOf, seeds: dict[Place, tuple[int, ...]]
) -> Iterator[tuple[Place, Any, Place]]:
    """Yields (setting, its value, the member that it refers to) of a stage's references to members with
    several seeds; the setting is empty where the member's own name is the reference.
    """
    for read in stage.inputs:
        for maker in graph.makers_of(read.path):
            place = _place(maker)
            if place not in seeds or place == _place(stage) or not read.setting:
                continue
            below = f"{stage.key}."
            if read.key != stage.key and not read.key.startswith(below):
                example = member_name(place[-1], seeds[place][0])
                raise ParamsError(
                    [
                        f"{PARAMS}: {read.key}: {read.value} has several seeds, and all of "
                        f"{stage.family.name} share this setting; name one of them, such as {example}"
                    ]
                )
            setting = () if read.key == stage.key else tuple(read.key.removeprefix(below).split("."))
            yield setting, read.value, place


def _place(stage: StageOf) -> Place:
    return (*stage.family.over, stage.member) if stage.member else ()


def _renamed(value: Any, name: str, seed: int) -> str:
    """Returns a reference, a name or a path, to the member of a seed."""
    parts = str(value).split("/")
    return "/".join(member_name(name, seed) if part == name else part for part in parts)
