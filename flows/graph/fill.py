"""Optional references of runs: values that DVC's interpolation needs and people may leave out.

DVC reads `${item.judge}` in params.yaml itself and knows no defaults. Where dvc.yaml's `takes` lists `none`
for a reference, `none` is its value in a run that does not say it. `whetstone use` and `whetstone run` write
it into the file; everything else reads the file as if it stood there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap

from flows.graph.families import NONE, at, families
from flows.graph.params_file import PARAMS, ParamsError, document_of, parse, read_text, text_of, write_text
from flows.graph.presets import with_presets
from flows.graph.sections import below
from flows.graph.seeds import expanded

Steps = tuple[str, ...]


def missing(raw: Any, root: Path | None = None) -> list[Steps]:
    """Returns the keys of optional references that are not set, in order: ("rl", "runs", "grpo", "judge").

    One that a run leaves to what it is laid over is not among them: DVC would not read it there, and the
    check says so.
    """
    lacking = [
        ((*family.over, str(name), setting), item)
        for family in families(root)
        if family.over and family.optional and isinstance(members := at(raw, family.over), dict)
        for name, item in members.items()
        for setting in family.optional
        if isinstance(item, dict) and item.get(setting) is None
    ]
    complete = with_presets(raw, root) if lacking else raw
    return list(
        dict.fromkeys(
            path for path, item in lacking if below(complete, path[:-2], item, root).get(path[-1]) is None
        )
    )


def filled(raw: Any, root: Path | None = None) -> Any:
    """Returns the values with a member for each seed of a run (`seeds.py`) and the missing references set to
    none; a copy where something was missing.
    """
    raw = expanded(raw, root)
    for path in missing(raw, root):
        raw = _with(raw, path)
    return raw


def _with(raw: Any, path: Steps) -> Any:
    if not path:
        return NONE
    return {**raw, path[0]: _with(raw.get(path[0]), path[1:])}


def fill(document: Any, root: Path | None = None) -> list[str]:
    """Set the missing references in a document of `params_file.document_of`. Returns their keys, in order."""
    paths = missing(document, root)
    for path in paths:
        *above, last = path
        run = at(document, above)
        if isinstance(run, CommentedMap) and run and last not in run:
            # not at the end: the comment that follows a run belongs to its last key
            run.insert(len(run) - 1, last, NONE)
        else:
            run[last] = NONE
    return [".".join(path) for path in paths]


def filled_text(root: Path) -> tuple[str, list[str]] | None:
    """Returns the text that params.yaml should have, and the keys that it lacks; None where it lacks none, or
    cannot be read (its check reports why).
    """
    try:
        text = read_text(root / PARAMS)
        if not missing(parse(text), root):
            return None
        document = document_of(text)
    except ParamsError:
        return None
    keys = fill(document, root)
    return text_of(document), keys


def write(root: Path) -> list[str]:
    """Write the missing references into params.yaml. Returns their keys. Call it while no other run uses the
    file.
    """
    completed = filled_text(root)
    if completed is None:
        return []
    write_text(root / PARAMS, completed[0])
    return completed[1]
