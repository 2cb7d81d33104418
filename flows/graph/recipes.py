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

import itertools
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.graph.applied_recipe import APPLIED, REMEMBERED, base_text, laid_text, read_applied
from flows.graph.fill import filled
from flows.graph.params import check
from flows.graph.params_file import (
    PARAMS,
    ParamsError,
    load_with_comments,
    parse,
    plain,
    read_text,
    save_with_comments,
    text_of,
    write_text,
)
from flows.graph.recipe_files import FOLDER, digests, edited
from flows.graph.recipe_layers import DEFAULT, chain, lay, names
from flows.graph.setting_changes import ABSENT, Change, differences, put, words

OWN = "recipes/own"  # settings of the user's own that were kept aside
SHOWN = 6


def active(root: Path) -> str:
    """Returns the name of the recipe that params.yaml is based on now."""
    return str(read_applied(root).get("recipe", DEFAULT))


def own(root: Path, text: str | None = None) -> list[Change]:
    """Returns the settings by which params.yaml (or `text`) differs from the active recipe. Raises
    ParamsError when either is not YAML.
    """
    laid, text = laid_text(root), text if text is not None else read_text(root / PARAMS)
    if laid is None or laid == text:
        return []
    return list(differences(filled(parse(laid, APPLIED), root), filled(parse(text), root)))


def edited_since(root: Path) -> list[str]:
    """Returns the files of the active recipe that were edited after it was used. Raises ParamsError when
    .applied.yaml cannot be read.
    """
    recorded = read_applied(root).get("files", {})
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
    if laid_text(root) is None:
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
    base = base_text(root, own_changes)
    document, brought = lay(root, name, base)
    laid = base if name == DEFAULT else text_of(document)
    check(parse(laid), PARAMS if name == DEFAULT else f"{FOLDER}/{name}.yaml", root)
    changes = [*(own_changes if keep else []), *(_read_own(bring) if bring else [])]
    text = laid
    if changes:
        for change in changes:
            put(document, change)
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
        [words(change) for change in differences(before, parse(text))],
        brought.members,
        brought.shared,
        changes if keep else own_changes,
        aside,
    )


def show(root: Path, name: str) -> str:
    """Returns params.yaml as `use` would write it, without own settings. It is checked, and nothing is
    written. Raises ParamsError.
    """
    base = base_text(root, own(root))
    text = base if name == DEFAULT else text_of(lay(root, name, base)[0])
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
