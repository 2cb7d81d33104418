"""`whetstone use NAME`: set params.yaml to what recipes/NAME.yaml describes; `use default` restores the
default.

A recipe starts from nothing of the default but `identity` and `execution`: no set, no run, and nothing that
runs share, for what suits a toy of the default's size does not suit another model. With `extends: [other,
default]` it starts from those, laid over each other in this order, and from the whole default where that is
among them. `use a+b` is a recipe that extends both. A value null takes a key out.

params.yaml stays the whole truth, so DVC needs to know nothing of recipes. recipes/.applied.yaml holds the
default as it was (`base`) and with the recipe on it (`laid`), and digests of the recipe's files; it belongs
into version control with params.yaml. What params.yaml holds beside that are settings of the user's own
(`-S`, an editor): said at every plan, kept aside by name or carried over when a recipe is used.
"""

from __future__ import annotations

import difflib
import functools
import itertools
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap

from flows.graph.families import at, families, overlays, resolved
from flows.graph.fill import fill, filled
from flows.graph.params import check
from flows.graph.params_file import (
    PARAMS,
    ParamsError,
    document_of,
    load_with_comments,
    parse,
    part_aliases,
    plain,
    read_text,
    read_yaml,
    save_with_comments,
    text_of,
    write_text,
)
from flows.graph.recipe_files import FOLDER, digests, edited
from flows.graph.references import Graph
from pipelines.settings import is_options_of, laid_over

APPLIED = "recipes/.applied.yaml"
OWN = "recipes/own"  # settings of the user's own that were kept aside
REMEMBERED = ".whetstone/params.default.yaml"  # the default before the first `-S`, where no git knows it
DEFAULT = "default"
KEPT = ("identity", "execution")  # sections of the default that every recipe starts with
EXTENDS = "extends"
HEAD = """\
yaml-language-server: $schema=schemas/params.schema.json
The recipe {0}: `whetstone use {0}` made this file of recipes/, `whetstone use default` goes back.
`whetstone params KEY` shows what a key may be, means and is now; presets by name lie in presets.yaml;
`whetstone plan` says what an edit makes stale."""
OF_RECIPE = re.compile(r"^# The recipe \S+: `whetstone use ", re.MULTILINE)  # that head
SHOWN = 6
ABSENT: Any = object()


@dataclass(frozen=True)
class Change:
    """One setting that differs from the recipe: the recipe's value and the user's, ABSENT for none."""

    key: tuple[str, ...]
    was: Any
    now: Any

    def __str__(self) -> str:
        return f"{'.'.join(self.key)} {_shown(self.was)} -> {_shown(self.now)}"

    def as_json(self) -> dict[str, Any]:
        values = {"was": self.was, "now": self.now}
        return {
            "key": list(self.key),
            **{name: value for name, value in values.items() if value is not ABSENT},
        }


def names(root: Path) -> list[str]:
    return sorted(path.stem for path in (root / FOLDER).glob("*.yaml") if not path.name.startswith("."))


def active(root: Path) -> str:
    """Returns the name of the recipe that params.yaml is based on now."""
    return str(_applied(root).get("recipe", DEFAULT))


def own(root: Path, text: str | None = None) -> list[Change]:
    """Returns the settings by which params.yaml (or `text`) differs from the active recipe. Raises
    ParamsError when either is not YAML.
    """
    laid, text = _laid(root), text if text is not None else read_text(root / PARAMS)
    if laid is None or laid == text:
        return []
    return list(_differences(filled(parse(laid, APPLIED), root), filled(parse(text), root)))


def edited_since(root: Path) -> list[str]:
    """Returns the files of the active recipe that were edited after it was used. Raises ParamsError when
    .applied.yaml cannot be read.
    """
    recorded = _applied(root).get("files", {})
    return [f"{FOLDER}/{name}.yaml" for name in edited(root, recorded if isinstance(recorded, dict) else {})]


def sentence(root: Path, changes: list[Change]) -> str:
    """Returns `recipe gsm8k_small with 2 settings of your own: sft.common.steps 1000 -> 10, …`."""
    count = f"{len(changes)} setting{'s' if len(changes) > 1 else ''} of your own"
    more = f" and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
    return f"recipe {active(root)} with {count}: {', '.join(map(str, changes[:SHOWN]))}{more}"


def remember(root: Path) -> None:
    """Store the default before the first edit of params.yaml by a command, where neither git nor a recipe
    holds it.
    """
    if _laid(root) is None:
        path = root / REMEMBERED
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, read_text(root / PARAMS))


@dataclass(frozen=True)
class Used:
    """The result of `use`: `key old -> new` lines, the members of the default that the recipe only refers to,
    with the setting that does, what those share there, and the user's own settings with the file that holds
    them (None: carried over, or none).
    """

    changed: list[str]
    supplied: dict[str, str]
    shared: list[str]
    own: list[Change]
    aside: Path | None

    def as_json(self) -> dict[str, Any]:
        own = [change.as_json() for change in self.own]
        brought = {"supplied": list(self.supplied), "shared": self.shared}
        return {"changed": self.changed, **brought, "own": own}


def use(root: Path, name: str, keep: bool = False, bring: Path | None = None) -> Used:
    """Set params.yaml to the recipe. With `keep` the user's own settings are carried over, with `bring` those
    of a file that `use` has written.

    The result is checked as a whole before anything is written. Raises ParamsError.
    """
    before, own_changes = parse(read_text(root / PARAMS)), own(root)
    base = _base(root, own_changes)
    document, brought = _lay(root, name, base)
    laid = base if name == DEFAULT else text_of(document)
    check(parse(laid), PARAMS if name == DEFAULT else f"{FOLDER}/{name}.yaml", root)
    changes = [*(own_changes if keep else []), *(_read_own(bring) if bring else [])]
    text = laid
    if changes:
        for change in changes:
            _put(document, change)
        text = text_of(document)
        check(parse(text), f"{name} with settings of your own", root)
    aside = None if keep or not own_changes else _keep_aside(root, own_changes)
    if name == DEFAULT:
        write_text(root / PARAMS, text)
        (root / APPLIED).unlink(missing_ok=True)
    else:
        files = digests(root, (part for part in chain(root, name) if part != DEFAULT))
        save_with_comments(root / APPLIED, {"recipe": name, "base": base, "laid": laid, "files": files})
        write_text(root / PARAMS, text)
    return Used(
        [_words(change) for change in _differences(before, parse(text))],
        brought.members,
        brought.shared,
        changes if keep else own_changes,
        aside,
    )


def show(root: Path, name: str) -> str:
    """Returns params.yaml as `use` would write it, without own settings. It is checked, and nothing is
    written. Raises ParamsError.
    """
    base = _base(root, own(root))
    text = base if name == DEFAULT else text_of(_lay(root, name, base)[0])
    check(parse(text), name, root)
    return text


def about(root: Path) -> dict[str, str]:
    """Returns {recipe: the first sentence of the comment at the top of its file}."""
    summaries = {DEFAULT: "The embedded default: every branch, made from nothing."}
    for name in names(root):
        lines = itertools.takewhile(
            lambda line: line.startswith("#"), read_text(root / FOLDER / f"{name}.yaml").splitlines()
        )
        words = " ".join(line.lstrip("# ") for line in lines if not line.startswith("# yaml-language-server"))
        summaries[name] = re.split(r"(?<=\.)\s", words, maxsplit=1)[0]
    return summaries


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
class _Brought:
    """What comes from the default because the recipe refers to it: members with the setting that names each,
    and what they share there.
    """

    members: dict[str, str]
    shared: list[str]


def _lay(root: Path, name: str, base: str) -> tuple[Any, _Brought]:
    """Returns the document of params.yaml that `name` makes of the default `base`, and what `_supply`
    added.
    """
    document, parts = document_of(base), chain(root, name)
    if DEFAULT not in parts:
        _empty(document, root)
        document.yaml_set_start_comment(HEAD.format(name))
    for part in parts:
        if part != DEFAULT:
            overlay = load_with_comments(root / FOLDER / f"{part}.yaml")
            overlay.pop(EXTENDS, None)
            part_aliases(overlay)
            _overlay(document, overlay)
    for family in families(root):
        # of a stage of the user's own, of which the recipe says nothing
        if family.from_params and _is_absent(document, family.over):
            _put(document, Change(family.over, ABSENT, CommentedMap()))
    # with the default itself nothing is left to bring: what is not there was taken out
    brought = _Brought({}, [])
    if DEFAULT not in parts:
        _supply(document, base, root, brought)
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


def _supply(document: Any, base: str, root: Path, brought: _Brought) -> None:
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
    document: Any, commented: Any, default: Any, place: tuple[str, ...], root: Path, brought: _Brought
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
            _put(document, Change(path, ABSENT, value))
    _put(document, Change(place, ABSENT, member))


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
            _put(document, Change(family.over, ABSENT, _section()))


def _section() -> CommentedMap:
    """Returns an empty mapping that is written line by line once something is in it."""
    section = CommentedMap()
    section.fa.set_block_style()
    return section


def _keep_aside(root: Path, changes: list[Change]) -> Path:
    number, stem = 1, f"{active(root)}-{time.strftime('%Y%m%d')}"
    while (path := root / OWN / f"{stem}-{number}.yaml").exists():
        number += 1
    path.parent.mkdir(parents=True, exist_ok=True)
    save_with_comments(path, [change.as_json() for change in changes])
    return path.relative_to(root)


def _read_own(path: Path) -> list[Change]:
    rows = plain(load_with_comments(path))
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and isinstance(row.get("key"), list) and row["key"] for row in rows
    ):
        raise ParamsError(
            [
                f"{path}: a list of settings as `whetstone use` keeps them is expected, each with `key`, "
                f"`was` and `now`"
            ]
        )
    return [
        Change(tuple(map(str, row["key"])), row.get("was", ABSENT), row.get("now", ABSENT)) for row in rows
    ]


def _applied(root: Path) -> dict[str, Any]:
    path = root / APPLIED
    return read_yaml(path) if path.exists() or path.is_symlink() else {}


def _laid(root: Path) -> str | None:
    """Returns params.yaml as the active recipe alone makes it; None where the default is not known."""
    note = _applied(root)
    if not note:
        return _default(root)
    if "laid" in note:
        return str(note["laid"])
    document = document_of(str(note["original"]))  # written by an earlier version
    overlay = load_with_comments(root / FOLDER / f"{note['recipe']}.yaml")
    overlay.pop(EXTENDS, None)
    _overlay(document, overlay)
    return text_of(document)


def _base(root: Path, changes: list[Change]) -> str:
    """Returns the default without recipe and own settings, with all known comments. Raises ParamsError where
    params.yaml is a recipe's and nothing tells the default.
    """
    note = _applied(root)
    if note:
        return str(note.get("base") or note["original"])
    text = read_text(root / PARAMS)
    if OF_RECIPE.search(text):
        default = _default(root)
        if default is None or OF_RECIPE.search(default):
            raise ParamsError(
                [
                    f"{APPLIED}: not found, and {PARAMS} is a recipe's: nothing here tells the default; "
                    f"bring back with `git checkout COMMIT -- PATH` that file, or {PARAMS} from before the "
                    f"recipe"
                ]
            )
        return default
    if not changes:
        return text
    document = document_of(text)
    for change in changes:
        _put(document, Change(change.key, change.now, change.was))
    default = _default(root)
    restored = text_of(document)
    return restored if default is None or parse(restored) == parse(default) else default


def _default(root: Path) -> str | None:
    """Returns the default from the project's last commit (also below a recipe that was committed), or else
    the stored one.
    """
    committed = _committed(root, PARAMS)
    if committed is None:
        path = root / REMEMBERED
        return path.read_text("utf-8") if path.exists() else None
    note = _committed(root, APPLIED)
    below = parse(note, APPLIED) if note else {}
    return str(below.get("base") or below.get("original") or committed)


def _committed(root: Path, path: str) -> str | None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        process = subprocess.run(
            ["git", "-C", str(root), "show", f"HEAD:./{path}"], capture_output=True, env=env, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return process.stdout.decode("utf-8", "replace") if process.returncode == 0 else None


def _overlay(target: Any, overlay: Any) -> None:
    """Merge deeply: null removes a key; lists, values and choices of another kind are replaced as a whole."""
    for key, value in overlay.items():
        below = target.get(key)
        if is_options_of(below, value):
            below = target[key] = CommentedMap(kind=below)
        if (
            isinstance(value, dict)
            and isinstance(below, dict)
            and value.get("kind") in (None, below.get("kind"))
        ):
            _overlay(below, value)
        elif value is None:
            target.pop(key, None)
        elif key not in target or plain(below) != plain(value):
            target[key] = value


def _put(document: Any, change: Change) -> None:
    for part in change.key[:-1]:
        if not isinstance(document.get(part), dict):
            if change.now is ABSENT:
                return
            document[part] = {}
        document = document[part]
    if change.now is ABSENT:
        document.pop(change.key[-1], None)
    else:
        document[change.key[-1]] = change.now


def _differences(before: Any, after: Any, path: tuple[str, ...] = ()) -> list[Change]:
    """Returns the values that were added, removed or changed; a section that was added or removed is one
    change.
    """
    if before == after and type(before) is type(after):
        return []
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [Change(path, before, after)]
    keys = [*before, *(key for key in after if key not in before)]
    return [
        change
        for key in keys
        for change in _differences(before.get(key, ABSENT), after.get(key, ABSENT), (*path, str(key)))
    ]


def _words(change: Change) -> str:
    key = ".".join(change.key)
    if change.now is ABSENT:
        return f"{key} removed"
    return f"{key} new: {_shown(change.now)}" if change.was is ABSENT else str(change)


def _shown(value: Any) -> str:
    if value is ABSENT:
        return "(none)"
    text = f"({len(value)} settings)" if isinstance(value, dict) and value else repr(value)
    return text if len(text) <= 200 else text[:197] + "…"
