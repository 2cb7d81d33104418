"""Stages of dvc.yaml run in this process in a scratch folder, without DVC: for benchmarks of dozens of short
stages and several seeds.

`Graph` resolves dvc.yaml against a raw params mapping; `run` makes what a stage needs first. A finished stage
is done again only when its parameters or those of a stage before it changed: the code is not looked at, so
take a new folder after an edit.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.embedded_learning import ROOT, run_stage
from flows.graph.fill import filled
from flows.graph.sections import with_members_laid

HOLE = re.compile(r"\$\{([^}]+)\}")
SKIPPED = ("code", "report")  # they look at the whole repository


@dataclass(frozen=True)
class Declared:
    """An entry of dvc.yaml with its holes filled; `params` by dotted section. A checkpoint's lineage is left
    out: the runner writes it.
    """

    name: str
    params: Mapping[str, Any]
    inputs: tuple[str, ...]
    outs: tuple[str, ...]


class Graph:
    """The stages that dvc.yaml declares for `params`, a raw params.yaml."""

    def __init__(self, params: dict[str, Any], declaration: Path = ROOT / "dvc.yaml"):
        import yaml

        lock = declaration.parent / "source.lock.json"  # what comes from outside has a stage each
        # laid over what they share, so that presets and `common` say nothing more
        self.params = with_members_laid(filled(params, declaration.parent)) | {
            "taken": json.loads(lock.read_text("utf-8")).get("taken", {}) if lock.exists() else {}
        }
        entries = yaml.safe_load(declaration.read_text("utf-8"))["stages"]
        self.stages = {
            stage.name: stage
            for name, entry in entries.items()
            if name not in SKIPPED
            for stage in self._declared(name, entry)
        }
        self.makers = {out: stage.name for stage in self.stages.values() for out in stage.outs}

    def before(self, name: str) -> list[str]:
        """Stages that write what `name` reads, in the order of its inputs; an input below or above an output
        counts too.
        """
        makers = []
        for path in self.stages[name].inputs:
            makers += [
                maker
                for out, maker in self.makers.items()
                if (out + "/").startswith(path + "/") or (path + "/").startswith(out + "/")
            ]
        return list(dict.fromkeys(makers))

    def key(self, name: str) -> str:
        """Stands for the parameters of a stage and of all before it."""
        facts = [self.stages[name].params, [self.key(maker) for maker in self.before(name)]]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def run(self, name: str, execution: dict[str, Any]) -> dict[str, float]:
        """Make the stage's outputs in the current folder, and those before it; returns seconds of each stage
        that ran.
        """
        seconds: dict[str, float] = {}
        stage, note = self.stages[name], Path("done") / f"{name}.json"
        for maker in self.before(name):
            seconds |= self.run(maker, execution)
        key = self.key(name)
        if (
            note.exists()
            and json.loads(note.read_text("utf-8"))["key"] == key
            and all(Path(out).exists() for out in stage.outs)
        ):
            return seconds
        # of other parameters, or of an interrupted run
        for stale in (Path(f"work/{name}"), *map(Path, stage.outs)):
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink(missing_ok=True)
        seconds[name] = run_stage(name, dict(stage.params), list(stage.inputs), list(stage.outs), execution)
        shutil.rmtree(f"work/{name}", ignore_errors=True)
        note.parent.mkdir(exist_ok=True)
        note.write_text(json.dumps({"key": key, "seconds": seconds[name]}), "utf-8")
        return seconds

    def _declared(self, name: str, entry: dict[str, Any]) -> Iterator[Declared]:
        if "foreach" in entry:
            for key, item in self._members(entry["foreach"]).items():
                yield self._filled(f"{name}@{key}", entry["do"], {"key": key, "item": item})
        elif "matrix" in entry:
            ((variable, hole),) = entry["matrix"].items()
            for value in self._members(hole):
                yield self._filled(f"{name}@{value}", entry, {"item": {variable: value}})
        else:
            yield self._filled(name, entry, {})

    def _filled(self, name: str, entry: dict[str, Any], scope: dict[str, Any]) -> Declared:
        def fill(text: str) -> str:
            return HOLE.sub(
                lambda hole: str(_at(scope if hole[1].partition(".")[0] in scope else self.params, hole[1])),
                text,
            )

        sections = [fill(one) for one in entry.get("meta", {}).get("settings", ())]
        outs = [fill(one) for one in entry["outs"] if not one.endswith("/lineage.json")]
        return Declared(
            name,
            {section: value for section in sections if (value := _at(self.params, section)) is not None},
            tuple(map(fill, entry.get("deps", ()))),
            tuple(outs),
        )

    def _members(self, hole: str) -> Any:
        return _at(self.params, hole.strip("${}"))


def _at(value: Any, dotted: str) -> Any:
    """The value at a dotted key; None where there is none."""
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
