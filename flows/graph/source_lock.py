"""source.lock.json: which outside sources params.yaml uses (dvc.yaml makes a stage source@NAME of each), and
pins of their versions.

It is committed to git, like dvc.lock. The pin of a Hugging Face id is the commit that was fetched first, that
of a package its version, both with the sha256 of every used file. So a clone fetches that commit, wherever
the branch is by then, and refuses other bytes under the same name. `whetstone plan` and the `code` stage keep
it consistent with params.yaml.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from flows.graph.params import Params
from flows.graph.params_file import ParamsError
from pipelines.sources import manifest, packages
from pipelines.sources.manifest import SourceError
from pipelines.sources.places import find
from pipelines.sources.source_params import FOLDER, Reference, Source, references

SOURCE_LOCK = "source.lock.json"
NONE = f"{FOLDER}/none"  # dvc.yaml's input of a source that is no local file
ABSENT = "absent"
STAGE = "source@"


def all_references(params: Params) -> Iterator[Reference]:
    """Yields the outside references of every stage in the graph; presets without a run do not count."""
    for name in type(params).model_fields:
        section = getattr(params, name)
        yield from references(getattr(section, "runs", section))


def taken_by(params: Params, sections: Iterable[str]) -> list[Reference]:
    """Returns the outside references in the sections of one stage, without duplicates."""
    return list(
        dict.fromkeys(reference for section in sections for reference in references(params.section(section)))
    )


def read(root: Path) -> dict[str, Any]:
    """Returns {"taken": {name: …}, "pins": {name: {"commit" or "version", "files": {file: sha256}}}}; empty
    where the file is missing. Raises ParamsError where it is damaged, for example by a merge: the pins would
    be lost.
    """
    try:
        content = json.loads((root / SOURCE_LOCK).read_text("utf-8"))
        pins = {name: {**pin, "files": dict(pin["files"])} for name, pin in content["pins"].items()}
        return {"taken": dict(content["taken"]), "pins": pins}
    except FileNotFoundError:
        return {"taken": {}, "pins": {}}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = (
            f"settle its conflicts or take git's version; or delete it: Hugging Face ids are then pinned "
            f"anew ({error})"
        )
        raise ParamsError([f"{SOURCE_LOCK} cannot be read; {remedy}"]) from error


def make(root: Path, params: Params) -> dict[str, Any]:
    """Returns the content that the file should have."""
    before = read(root)
    taken = {
        reference.name: _entry(root, reference, before["taken"].get(reference.name))
        for reference in all_references(params)
    }
    pins = {name: pin for name in taken if (pin := _pin(root, name, taken[name], before["pins"].get(name)))}
    # another recipe's pins stay
    return {"pins": dict(sorted((before["pins"] | pins).items())), "taken": dict(sorted(taken.items()))}


def text_of(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def write(root: Path, params: Params) -> bool:
    """Bring the file up to date. Returns whether the sources have changed, so that dvc.yaml declares other
    stages now.
    """
    path, before, content = root / SOURCE_LOCK, read(root), make(root, params)
    if not path.exists() or path.read_text("utf-8") != text_of(content):
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_text(text_of(content), "utf-8")
        os.replace(temporary, path)
    return before["taken"] != content["taken"]


def digests(root: Path, params: Params, sections: Iterable[str]) -> dict[str, str]:
    """Returns {name of each source that the sections use: digest of its present manifest, or `absent`}."""
    from tasks.content import file_digest

    paths = {reference.name: root / reference.manifest for reference in taken_by(params, sections)}
    return {name: file_digest(path) if path.is_file() else ABSENT for name, path in sorted(paths.items())}


def not_at_hand(root: Path, params: Params, stages: Iterable[str]) -> dict[str, str]:
    """Returns {stage: what it lacks} for those of the stages source@NAME whose source is not on this machine:
    why it cannot be had where nothing may be fetched, else what pip will fetch of packages. Local paths are
    DVC's.
    """
    content, wanted = make(root, params), set(stages)
    lacking = {}
    for reference in all_references(params):
        entry, pin = content["taken"][reference.name], content["pins"].get(reference.name, {})
        if (stage := f"{STAGE}{reference.name}") in wanted and entry["path"] == NONE:
            source = reference.source(root)
            try:
                find(source, reference.kind, True, pin.get("commit"))
            except SourceError as error:
                if params.execution.offline:
                    lacking[stage] = str(error)
                elif source.version is not None:
                    lacking[stage] = f"pip fetches {packages.wanted(source)}"
    return lacking


def shown(entry: dict[str, Any]) -> str:
    """Returns a source of the file as text for people."""
    return source_of(entry).shown


def source_of(entry: dict[str, Any]) -> Source:
    return Source.model_validate(
        {key: value for key, value in entry["source"].items() if (key, value) != ("version", ABSENT)}
    )


def _entry(root: Path, reference: Reference, before: dict[str, Any] | None) -> dict[str, Any]:
    source = reference.source(root, was_path=bool(before and before["path"] != NONE))
    fields: dict[str, Any] = source.model_dump(exclude_defaults=True, mode="json")
    if source.package is not None and source.version is None:
        fields["version"] = packages.installed_version(source.package) or ABSENT
    path = NONE if source.path is None else dvc_path(root, source.path)
    return {"path": path, "kind": reference.kind, "source": fields}


def dvc_path(root: Path, text: str) -> str:
    """Returns a path as DVC writes a dependency: relative to the project's folder where it lies inside, else
    as it is given.
    """
    path = os.path.normpath(os.path.expanduser(text))
    inside = os.path.relpath(path, root) if os.path.isabs(path) else path
    if not inside.startswith("..") and not os.path.isabs(inside):
        return inside
    return path


def _pin(
    root: Path, name: str, entry: dict[str, Any], before: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Returns the pin of a source: the existing one, or that of its first manifest. None for a path, whose
    bytes may change, and for a source that has not been fetched.
    """
    source = entry["source"]
    if "path" in source or (before is not None and before.get("version") == source.get("version")):
        return before
    try:
        current = manifest.read(root / FOLDER / f"{name}.json")
    except manifest.SourceError:
        return None
    same = all(current.source.get(key) == source.get(key) for key in ("hub", "package", "version"))
    return current.pin if same else None
