"""What is known of the recipe in use (recipes/.applied.yaml), and the default that it was laid over."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from flows.graph.params_file import (
    PARAMS,
    ParamsError,
    document_of,
    load_with_comments,
    parse,
    read_text,
    read_yaml,
    text_of,
)
from flows.graph.recipe_files import FOLDER
from flows.graph.recipe_layers import EXTENDS
from flows.graph.setting_changes import Change, overlay, put

APPLIED = "recipes/.applied.yaml"
REMEMBERED = ".whetstone/params.default.yaml"  # the default before the first `-S`, where no git knows it
OF_RECIPE = re.compile(r"^# The recipe \S+: `whetstone use ", re.MULTILINE)  # a recipe's head


def read_applied(root: Path) -> dict[str, Any]:
    path = root / APPLIED
    return read_yaml(path) if path.exists() or path.is_symlink() else {}


def laid_text(root: Path) -> str | None:
    """Returns params.yaml as the active recipe alone makes it; None where the default is not known."""
    note = read_applied(root)
    if not note:
        return _default(root)
    if "laid" in note:
        return str(note["laid"])
    document = document_of(str(note["original"]))  # written by an earlier version
    recipe = load_with_comments(root / FOLDER / f"{note['recipe']}.yaml")
    recipe.pop(EXTENDS, None)
    overlay(document, recipe)
    return text_of(document)


def base_text(root: Path, changes: list[Change]) -> str:
    """Returns the default without recipe and own settings, with all known comments. Raises ParamsError where
    params.yaml is a recipe's and nothing tells the default.
    """
    note = read_applied(root)
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
        put(document, Change(change.key, change.now, change.was))
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
