"""Write code.lock.json: for every stage the digests of the code it reaches, the packages that key it, the
outside sources it takes and its settings as resolved.

Settings are resolved: a run's own settings laid over its preset, and that over what runs of its kind share,
checked, with the defaults of everything that no file sets. So a changed default makes stale what uses it, and
writing out a default value makes nothing stale.

`python -m flows.graph.codelock` is the command of the `code` stage, so that a bare `dvc repro` sees edited
code as well; `whetstone plan` and `whetstone run` do the same in-process first.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from flows.graph import own_code, seeds, source_lock
from flows.graph.closure import Code, Declared
from flows.graph.families import families, lists_stages, overlays, reported
from flows.graph.families import resolved as path_of
from flows.graph.params import Params
from pipelines.settings import OWN, seam_modules
from tasks import durable

CODE_LOCK = "code.lock.json"
SETTINGS = "settings"
COMMAND = "python -m tasks "
# Code that every stage's process runs: what starts it, checks it and publishes its result, and what libraries
# load from our entry points (DeepSpeed imports MLflow, which loads every `mlflow.artifact_repository` that
# pyproject.toml registers).
EVERYWHERE = ("tasks.__main__", "tasks.dvc_artifacts")


def entries(stage: Declared, params: Params) -> list[str]:
    """Returns the entry modules of a stage: its own, those that its parameters choose through a Seam (the
    user's own after OWN), and those that every stage runs.
    """
    modules = [*EVERYWHERE, f"tasks.{stage.name.partition('@')[0]}"]
    for section in stage.sections:
        value = params.section(section)
        if isinstance(value, BaseModel):
            modules.extend(seam_modules(value))
    return modules


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Returns {package: major.minor}; 'absent' for a package that is not installed."""
    result = {}
    for name in names:
        try:
            result[name] = ".".join(version(name).split("+")[0].split(".")[:2])
        except PackageNotFoundError:
            result[name] = "absent"
    return result


def digests(root: Path, stages: Iterable[Declared], params: Params) -> dict[str, dict[str, Any]]:
    """Returns {stage: {"modules": {module: digest}, "environment": {package: major.minor}, "python":
    major.minor, "settings": {section: value}}}, and for a stage that uses outside sources "sources": {name:
    digest of its manifest}.
    """
    code = Code(root)
    versions = package_versions(params.identity.environment)
    result = {}
    for stage in stages:
        if not stage.command.startswith(COMMAND):
            continue
        named = entries(stage, params)
        own = own_code.reached(root, [name.removeprefix(OWN) for name in named if name.startswith(OWN)])
        named = [name for name in named if not name.startswith(OWN)]
        modules, packages = code.closure([*named, *own.modules])
        if f"tasks.{stage.name.partition('@')[0]}" not in modules:
            raise FileNotFoundError(
                f"dvc.yaml declares the stage {stage.name}, but there is no "
                f"tasks/{stage.name.partition('@')[0]}.py"
            )
        result[stage.name] = {
            "modules": {**code.digests(modules), **own.files},
            "environment": {
                **own_code.versions(own.packages),
                **{name: value for name, value in versions.items() if name in packages | own.packages},
            },
            # syntax trees differ between Python's minor versions
            "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
            SETTINGS: resolved(params, stage.settings)
            | ({"stages": reported()} if lists_stages(stage.name) else {}),
        }
        if sources := source_lock.digests(root, params, stage.sections):
            result[stage.name]["sources"] = sources
    code.save()
    return result


def resolved(params: Params, sections: Iterable[str]) -> dict[str, Any]:
    """Returns {section: resolved value}, as JSON: each with everything that it is laid over and with all
    defaults. A section that others are laid over is left out; one that holds members (`rl.runs`) counts by
    their names and references only.
    """
    members: dict[str, set[str]] = {}
    for family in families():
        if family.over:
            members.setdefault(".".join(family.over), set()).update(family.references)
    values = {}
    for section in sections:
        value = _plain(params.section(section))
        if section in members:
            keys = members[section]
            value = {
                name: {key: item[key] for key in sorted(keys & item.keys())} for name, item in value.items()
            }
        values[section] = value
    below = {
        layer
        for section, value in values.items()
        for template in overlays().get(tuple(section.split(".")[:-1]), ())
        if (layer := ".".join(path_of(template, value))) != section
    }
    return {section: value for section, value in values.items() if section not in below}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value


def text_of(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def write(root: Path, value: Mapping[str, Any]) -> bool:
    """Replace code.lock.json if its content differs; returns whether it did."""
    path, text = root / CODE_LOCK, text_of(value)
    if path.exists() and path.read_bytes() == text.encode():
        return False
    durable.write(path, text)
    return True


def main() -> int:
    from flows.graph import dvc_api, dvc_leftovers
    from flows.graph.params import load
    from flows.graph.params_file import ParamsError

    root = Path.cwd()
    try:
        params = load(root)
        if added := seeds.write(root):  # DVC read the file before it held them
            print(
                f"params.yaml: added {', '.join(added)} for runs with several seeds: run the same command "
                f"again",
                file=sys.stderr,
            )
            return 1
        changed = source_lock.write(root, params)
    except ParamsError as error:
        print(error, file=sys.stderr)
        return 2
    if changed:  # DVC read the old one before it began
        print(
            "params.yaml uses other sources than before, and source.lock.json has been updated: run the same "
            "command again",
            file=sys.stderr,
        )
        return 1
    with dvc_api.open_repo(root) as repo:
        write(root, digests(root, dvc_api.declared(repo), params))
        dvc_leftovers.prune_orphans(repo)
    return 0


if __name__ == "__main__":
    sys.exit(main())
