"""The graph of DVC's stages: their dependencies and their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flows.graph.dvc_api import CODE_STAGE


def graph(repo: Any) -> dict[Any, set[Any]]:
    """Returns {stage or .dvc file: those whose outputs it reads}: DVC's `repo.index.graph`, without networkx,
    whose import takes a tenth of a plan.

    What DVC refuses (overlapping outputs, a stage's file inside an output, a cycle) raises DVC's own errors.
    """
    from dvc.dependency import DatasetDependency

    stages, outs = repo.index.stages, repo.index.outs_trie
    needs: dict[Any, set[Any]] = {stage: set() for stage in stages}
    for stage in stages:
        if outs.shortest_prefix(repo.fs.parts(stage.path)):
            repo.index.check_graph()
        for dep in stage.deps if not (stage.is_repo_import or stage.is_db_import) else []:
            if not isinstance(dep, DatasetDependency):
                key = dep.fs.parts(dep.fs_path)
                overlapping = [step.value for step in outs.prefixes(key)]
                overlapping += outs.values(prefix=key) if outs.has_subtrie(key) else []
                needs[stage].update(out.stage for out in overlapping)
    return needs


def with_sources(needs: dict[Any, set[Any]], takes: Mapping[str, Iterable[str]]) -> dict[Any, set[Any]]:
    """Returns the graph in which a stage depends on the outside sources that it uses (`takes`: stage name ->
    stage names), and not on all of them.

    For DVC they are inputs of the `code` stage, whose output contains for each stage only its own sources.
    """
    by_name = {stage.addressing: stage for stage in needs}
    result = {stage: set(upstream) for stage, upstream in needs.items()}
    for stage, upstream in result.items():
        if stage.addressing == CODE_STAGE:
            upstream.clear()
        upstream.update(by_name[name] for name in takes.get(stage.addressing, ()) if name in by_name)
    return result


def stages_in_order(repo: Any, needs: dict[Any, set[Any]]) -> list[Any]:
    """Returns stages and .dvc files in topological order, by name among those that are ready. Raises on a
    cycle, as DVC does.
    """
    waits = {stage: set(upstream) for stage, upstream in needs.items()}
    order: list[Any] = []
    while waits:
        free = sorted(
            (stage for stage, upstream in waits.items() if not upstream), key=lambda stage: stage.addressing
        )
        if not free:
            repo.index.check_graph()
            raise RuntimeError("the stages wait for each other, and DVC sees no cycle")
        order.append(free[0])
        del waits[free[0]]
        for upstream in waits.values():
            upstream.discard(free[0])
    return order


def with_upstream(needs: dict[Any, set[Any]], order: list[Any], wanted: set[str]) -> list[Any]:
    """Returns the stages named in `wanted` with all their dependencies, in the given order."""
    needed: set[Any] = set()
    todo = [stage for stage in order if stage.addressing in wanted]
    while todo:
        stage = todo.pop()
        if stage not in needed:
            needed.add(stage)
            todo += needs[stage]
    return [stage for stage in order if stage in needed]


def upstream_names(needs: dict[Any, set[Any]]) -> dict[str, list[str]]:
    """Returns {stage name: names of the stages that it depends on directly}, without the `code` stage."""
    return {
        stage.addressing: sorted(maker.addressing for maker in upstream if maker.addressing != CODE_STAGE)
        for stage, upstream in needs.items()
    }
