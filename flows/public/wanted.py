"""The public sets that the stages of params.yaml read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from flows.graph.fill import filled
from flows.graph.params_file import PARAMS, ParamsError, read_yaml
from flows.graph.presets import with_presets
from flows.graph.references import Graph
from flows.public import catalogue, mirror
from flows.public.bring import PublicDataError, Want, bring


def wants(root: Path, raw: Any, stages: Iterable[str] | None = None) -> list[Want]:
    """Returns the sets that `stages` (all without) and those that they need read; `raw`: params.yaml's
    values. Raises ParamsError for a name that public.yaml does not have.
    """
    graph = Graph(raw, root)
    wanted = None if stages is None else _upstream(graph, stages)
    paths = [
        read.path for stage in graph.stages if wanted is None or stage.name in wanted for read in stage.inputs
    ]
    names = list(dict.fromkeys(catalogue.named(paths)))
    if not names:
        return []
    sets = catalogue.read(root)
    if problems := [catalogue.unknown(name, sets) for name in names if name not in sets]:
        raise ParamsError(problems)
    return [want_of(root, name, sets[name], raw) for name in names]


def want_of(root: Path, name: str, entry: catalogue.PublicSet, raw: Any, offline: bool | None = None) -> Want:
    execution = raw.get("execution") if isinstance(raw, Mapping) else None
    said = execution if isinstance(execution, Mapping) else {}
    offline = bool(said.get("offline", True)) if offline is None else offline
    return Want(root, name, entry, mirror.folder(root, said.get("data_mirror")), offline)


def _upstream(graph: Graph, stages: Iterable[str]) -> set[str]:
    needs, wanted = graph.needs(), set[str]()
    ahead = list(stages)
    while ahead:
        name = ahead.pop()
        if name not in wanted:
            wanted.add(name)
            ahead += needs.get(name, [])
    return wanted


def told(root: Path, raw: Any, stages: Iterable[str]) -> dict[str, list[str]]:
    """Returns {stage: what it lacks of public sets, with licence, size and the way out} for those of the
    stages that lack some.
    """
    stages = set(stages)
    lacking = {want.name: want.sentence for want in wants(root, raw) if want.lacks}
    if not lacking:
        return {}
    reads = {
        stage.name: [
            lacking[name] for name in catalogue.named(read.path for read in stage.inputs) if name in lacking
        ]
        for stage in Graph(raw, root).stages
        if stage.name in stages
    }
    return {name: sentences for name, sentences in reads.items() if sentences}


def bring_all(root: Path, asked: Callable[[list[str]], list[str]] | None, say: Callable[[str], None]) -> None:
    """Bring what stages lack of public sets. `asked`: all names of stages -> the wanted ones, which need
    others; None for every stage. Raises PublicDataError, which names all that cannot be had before anything
    is fetched, and ParamsError.
    """
    if f"{catalogue.FOLDER}/" not in (root / PARAMS).read_text("utf-8"):
        return  # spares most runs the reading of all settings
    raw = filled(with_presets(read_yaml(root / PARAMS), root), root)
    needed = wants(root, raw, asked([stage.name for stage in Graph(raw, root).stages]) if asked else None)
    lacking = [want for want in needed if want.lacks]
    problems = [text for want in needed for text in want.faults]
    problems += [want.sentence for want in lacking if not want.obtainable]
    if problems:
        raise PublicDataError("\n".join(problems))
    for want in lacking:
        bring(want, say)
