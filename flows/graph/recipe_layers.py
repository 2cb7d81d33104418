"""The document of params.yaml that recipes make of the default: what of it stays, what they lay over it, and
what comes from it because they refer to it.
"""

from __future__ import annotations

import difflib
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap

from flows.graph.families import at, families, overlays, resolved
from flows.graph.fill import fill
from flows.graph.params import check
from flows.graph.params_file import (
    PARAMS,
    ParamsError,
    document_of,
    load_with_comments,
    parse,
    part_aliases,
    plain,
    read_yaml,
    text_of,
)
from flows.graph.recipe_files import FOLDER
from flows.graph.references import Graph
from flows.graph.seeds import expand
from flows.graph.setting_changes import ABSENT, Change, overlay, put
from pipelines.settings import laid_over

DEFAULT = "default"
KEPT = ("identity", "execution")  # sections of the default that every recipe starts with
EXTENDS = "extends"
HEAD = """\
yaml-language-server: $schema=schemas/params.schema.json
The recipe {0}: `whetstone use {0}` made this file of recipes/, `whetstone use default` goes back.
`whetstone params KEY` shows what a key may be, means and is now; presets by name lie in presets.yaml;
`whetstone plan` says what an edit makes stale."""


def names(root: Path) -> list[str]:
    return sorted(path.stem for path in (root / FOLDER).glob("*.yaml") if not path.name.startswith("."))


def chain(root: Path, name: str) -> list[str]:
    """Returns the recipes that `name` (one, or several joined by +) consists of, the lowest first, without
    duplicates. Raises ParamsError.
    """
    recipes: list[str] = []

    def visit(recipe: str, above: tuple[str, ...]) -> None:
        if recipe != DEFAULT and recipe not in names(root):
            close = difflib.get_close_matches(recipe, [*names(root), DEFAULT], n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join([DEFAULT, *names(root)])}"
            referrer = f", which {above[-1]} extends" if above else ""
            raise ParamsError([f"{FOLDER}/{recipe}.yaml: no such recipe{referrer}; {hint}"])
        if recipe in above:
            raise ParamsError([f"{FOLDER}/{recipe}.yaml: extends itself, through {', '.join(above)}"])
        if recipe == DEFAULT:
            below: Any = []
        else:
            below = read_yaml(root / FOLDER / f"{recipe}.yaml").get(EXTENDS, [])  # plain values, in a mapping
            if not isinstance(below, list) or not all(isinstance(item, str) for item in below):
                raise ParamsError(
                    [f"{FOLDER}/{recipe}.yaml: {EXTENDS}: a list of recipes is expected, such as [default]"]
                )
        for item in below:
            visit(item, (*above, recipe))
        if recipe not in recipes:
            recipes.append(recipe)

    for part in name.split("+"):
        visit(part, ())
    return recipes


@dataclass(frozen=True)
class Brought:
    """What comes from the default because the recipe refers to it: members with the setting that names each,
    and what they share there.
    """

    members: dict[str, str]
    shared: list[str]


def lay(root: Path, name: str, base: str) -> tuple[Any, Brought]:
    """Returns the document of params.yaml that `name` makes of the default `base`, and what `_supply`
    added.
    """
    document, parts = document_of(base), chain(root, name)
    if DEFAULT not in parts:
        _empty(document, root)
        document.yaml_set_start_comment(HEAD.format(name))
    for part in parts:
        if part != DEFAULT:
            recipe = load_with_comments(root / FOLDER / f"{part}.yaml")
            recipe.pop(EXTENDS, None)
            part_aliases(recipe)
            overlay(document, recipe)
    for family in families(root):
        # of a stage of the user's own, of which the recipe says nothing
        if family.from_params and _is_absent(document, family.over):
            put(document, Change(family.over, ABSENT, CommentedMap()))
    # with the default itself nothing is left to bring: what is not there was taken out
    brought = Brought({}, [])
    if DEFAULT not in parts:
        _supply(document, base, root, brought)
    expand(document, root)
    fill(document, root)
    return document, brought


def _is_absent(document: Any, path: tuple[str, ...]) -> bool:
    """Returns whether nothing stands at a path; what stands there or on the way and is no mapping is left for
    the check to refuse.
    """
    for part in path:
        if not isinstance(document, dict):
            return False
        if (document := document.get(part)) is None:
            return True
    return False


def _supply(document: Any, base: str, root: Path, brought: Brought) -> None:
    """Add the members of the default that something refers to and no recipe defines: `start: sft` alone adds
    the default's SFT model with everything that it is made of.
    """
    default = parse(base)
    default_graph, commented = Graph(default, root), document_of(base)
    while True:
        graph = Graph(parse(text_of(document)), root)
        places, referrers = {}, dict[str, str]()
        for read in graph.unmade():
            for maker in default_graph.makers_of(read.path):
                if maker.member and maker.key not in brought.members:
                    places[maker.key] = (*maker.family.over, maker.member)
                    referrers.setdefault(maker.key, read.key)
        if not places:
            return
        for key, place in places.items():
            _supply_member(document, commented, default, place, root, brought)
            brought.members[key] = referrers[key]


def _supply_member(
    document: Any, commented: Any, default: Any, place: tuple[str, ...], root: Path, brought: Brought
) -> None:
    """Put in one of the default's members with what it shares there with others: shared again where the
    recipe says nothing of the section, written into the member where the recipe has members or shared
    settings of its own, which must not reach it. Nor must what else the default's stages read (the gate of
    verifiers) reach members of the recipe's own: it stays away where there are any.
    """
    *members, _ = place
    layers = [resolved(layer, at(default, place)) for layer in overlays(root).get(tuple(members), ())]
    own = [
        value
        for layer in layers
        if (value := plain(at(document, layer) or {})) and value != plain(at(commented, layer) or {})
    ]
    shared = [path for path in _shared(default, place, root) if not at(document, path)]
    others = at(document, members) or {}
    if any(".".join((*members, name)) not in brought.members for name in others):
        shared = [path for path in shared if path in layers]
    member = at(commented, place)
    if own or (at(document, members) and any(path in layers for path in shared)):
        values = (plain(at(commented, layer) or {}) for layer in [*layers, place])
        member = CommentedMap(functools.reduce(laid_over, values))
        settings = (
            check(default, PARAMS, root).section(".".join(place)).model_dump(mode="json") if own else {}
        )
        member.update({key: settings[key] for value in own for key in value if key in settings})
        shared = [path for path in shared if path not in layers]
    brought.shared.extend(".".join(path) for path in shared)
    for path in shared:
        holder, value = at(document, path[:-1]), at(commented, path)
        if isinstance(holder, CommentedMap):
            holder.insert(0, path[-1], value)  # before the members
        else:
            put(document, Change(path, ABSENT, value))
    put(document, Change(place, ABSENT, member))


def _shared(default: Any, place: tuple[str, ...], root: Path) -> list[tuple[str, ...]]:
    """Returns the sections of the default beside `place` that its stages read, less those of every recipe."""
    *members, _ = place
    paths = [
        resolved(section, at(default, place))
        for family in families(root)
        if family.over == tuple(members)
        for section in family.sections
    ]
    return [
        path
        for path in dict.fromkeys(paths)
        if path[0] not in KEPT and path[: len(members)] != tuple(members) and at(default, path)
    ]


def _empty(document: Any, root: Path) -> None:
    """Empty every section but those of `KEPT`: the members of dvc.yaml's stages, and what they share."""
    for section in document:
        if section not in KEPT:
            document[section] = _section()
    for family in families(root):
        if family.from_params:
            put(document, Change(family.over, ABSENT, _section()))


def _section() -> CommentedMap:
    """Returns an empty mapping that is written line by line once something is in it."""
    section = CommentedMap()
    section.fa.set_block_style()
    return section
