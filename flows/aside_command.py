"""`whetstone aside`: list the results that were kept aside, evaluate a model among them, or remove one."""

from __future__ import annotations

import json
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console

from flows.graph import aside
from flows.graph.families import at, families
from flows.graph.fill import filled
from flows.graph.params_file import PARAMS, read_yaml
from flows.graph.references import Graph, StageOf
from flows.workspace import STATE, read_json


class NotEvaluated(RuntimeError):
    """The entry holds no model, or the graph has no stage that could evaluate it."""


def show(root: Path, name: str | None, evaluate: bool, remove: bool, as_json: bool, console: Console) -> None:
    """Print the entries, or evaluate or remove the one called `name`. Raises aside.UnknownEntry and
    NotEvaluated.
    """
    if name is None:
        entries = aside.entries(root)
        print_entries(entries, as_json, console)
    elif remove:
        aside.remove(root, name)
        print(json.dumps({"removed": name})) if as_json else console.print(f"removed {name}", markup=False)
    elif evaluate:
        print_comparison(compare(root, aside.entry(root, name)), as_json, console)
    else:
        print_entries([aside.entry(root, name)], as_json, console)


def print_entries(entries: list[aside.AsideEntry], as_json: bool, console: Console) -> None:
    if as_json:
        print(aside.as_json(entries))
        return
    if not entries:
        console.print("nothing is kept aside")
    for entry in entries:
        console.print(
            f"{entry.name}   {entry.bytes / 1e6:.1f} MB   "
            f"{time.strftime('%Y-%m-%d %H:%M', time.localtime(entry.when))}",
            markup=False,
        )
        console.print(f"  {entry.stage}: {entry.why}", markup=False)
        for model in entry.models:
            console.print(f"  {model}", markup=False)


def compare(root: Path, entry: aside.AsideEntry) -> dict[str, Any]:
    """Evaluate the entry's model in the entry's own folder, as the stage of the graph does that evaluates it,
    and compare with the figures that this stage has recorded.

    Returns {"model", "aside": figures of the held-out problems, "recorded": the same of the recorded model,
    or None}. Nothing of the graph is written.
    """
    if not entry.models:
        raise NotEvaluated(
            f"{entry.name} holds no finished model, only "
            f"{', '.join(sorted(_parts(root, entry))) or 'nothing'}"
        )
    model_folder = entry.models[0]
    model = Path(model_folder).parent.name
    work = root / STATE / aside.FOLDER / entry.name / "evaluation"
    spec = _specification(root, model, model_folder, work)
    from tasks.stage import Stage

    work.mkdir(exist_ok=True)
    stage = Stage(spec, interactive=True)
    import_module(f"tasks.{spec.stage.partition('@')[0]}").run(stage)
    metrics = next(out for out in spec.outs if out.startswith("metrics/"))
    figures, recorded = read_json(stage.out(metrics)) or {}, read_json(root / metrics) or {}
    recorded = recorded if recorded.get("model") == model else {}
    return {"model": model_folder, "aside": figures.get("heldout"), "recorded": recorded.get("heldout")}


def _parts(root: Path, entry: aside.AsideEntry) -> list[str]:
    return [path.name for path in (root / STATE / aside.FOLDER / entry.name).iterdir() if path.is_dir()]


def _specification(root: Path, model: str, model_folder: str, work: Path) -> Any:
    """Returns the specification of the stage that evaluates the model (or else of any evaluation in the
    graph), with the model read from `model_folder`.
    """
    from flows.graph import codelock, dvc_api
    from flows.graph.params import load
    from tasks.stage import Spec

    params, evaluation = load(root), _evaluation(root, model)
    with dvc_api.open_repo(root) as repo:
        stage = repo.stage.load_one(name=evaluation.name)
        inputs = [dep for dep in stage.deps if not dvc_api.is_params(dep)]
        place_of = next(read.path for read in evaluation.inputs if read.setting == evaluation.family.named)
        if missing := [dep.def_path for dep in inputs if dep.def_path != place_of and not dep.exists]:
            raise NotEvaluated(
                f"{', '.join(missing)} is missing: `whetstone run {stage.addressing}` makes it"
            )
        (declared,) = [
            candidate for candidate in dvc_api.declared(repo) if candidate.name == stage.addressing
        ]
        return Spec(
            stage=stage.addressing,
            key="aside",
            work=str(work),
            outs=tuple(out.def_path for out in stage.outs),
            inputs=dict.fromkeys((dep.def_path for dep in inputs), ""),
            params=codelock.resolved(params, declared.settings),
            execution=params.execution.model_dump(),
            places={place_of: model_folder},
        )


def _evaluation(root: Path, model: str) -> StageOf:
    """Returns the stage that evaluates the model, or the first that evaluates any."""
    raw = filled(read_yaml(root / PARAMS), root)
    evaluating = [family for family in families(root) if family.named and not family.named_presets]
    stages = [stage for stage in Graph(raw, root).stages if stage.family in evaluating]
    if not stages:
        sections = " or ".join(".".join(family.over) for family in evaluating)
        raise NotEvaluated(f"the graph has no stage that evaluates a model: name one in {sections}")
    members = ((stage, (*stage.family.over, stage.member, stage.family.named)) for stage in stages)
    return next((stage for stage, setting in members if at(raw, setting) == model), stages[0])


def print_comparison(comparison: dict[str, Any], as_json: bool, console: Console) -> None:
    if as_json:
        print(json.dumps(comparison, indent=1))
        return
    console.print(comparison["model"], markup=False)
    for name in ("aside", "recorded"):
        for decoding, figures in (comparison[name] or {}).items():
            console.print(f"  {name:<9} {decoding:<8} {json.dumps(figures)}", markup=False)
        if not comparison[name]:
            console.print(f"  {name:<9} no figures")
