"""The exact, read-only answer to "what would run, and why", computed from DVC's own objects.

`dvc status` and `dvc repro --dry` are not plans: they say nothing about downstream stages and the run cache.
Here the graph is walked once, upstream first, with the content that every output will have (`plan_rows.py`);
`run?` marks a stage that may still be skipped if its inputs come out unchanged.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flows.graph import (
    codelock,
    dvc_api,
    dvc_graph,
    dvc_leftovers,
    dvc_record,
    made_paths,
    source_lock,
)
from flows.graph.closure import Declared
from flows.graph.dvc_api import CODE_STAGE
from flows.graph.fill import filled
from flows.graph.params import Params, check
from flows.graph.params_file import PARAMS, parse, read_yaml
from flows.graph.plan_rows import PlanRow as PlanRow
from flows.graph.plan_rows import Walk
from flows.graph.presets import with_presets
from flows.graph.requested import askable
from flows.public import wanted
from flows.public.catalogue import FOLDER as PUBLIC
from tasks.seed_names import members_of


@dataclass(frozen=True)
class Plan:
    """All planned stages in topological order."""

    rows: tuple[PlanRow, ...]
    params: Params

    @property
    def todo(self) -> tuple[PlanRow, ...]:
        return tuple(row for row in self.rows if row.action != "keep")

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(f"{row.stage}: {note}" for row in self.rows for note in row.notes)


NO_LOCK = "schema: '2.0'\nstages: {}\n"


class UnknownStage(ValueError):
    """A target names no stage."""


def make(
    root: Path,
    targets: Iterable[str] = (),
    force: bool = False,
    record: bool = False,
    text: str | None = None,
) -> Plan:
    """Check params.yaml, refresh code.lock.json, and plan `targets` with all their dependencies (all stages
    when empty).

    `force` plans the targets themselves as run. `record` also records the refreshed code.lock.json in
    dvc.lock, which only `run` does. With `text` the plan is that of a params.yaml with this content, and
    nothing is written. Raises ParamsError, UnknownStage, dvc_api.BrokenLock.
    """
    raw = filled(with_presets(read_yaml(root / PARAMS) if text is None else parse(text), root), root)
    params = check(raw, root=root)
    unwritten = None if text is None else _unwritten_texts(root, params, text)
    if unwritten is None:
        source_lock.write(root, params)  # before DVC reads dvc.yaml, which makes stages of it
    with dvc_api.locked_repo(root, unwritten) as repo:
        code = codelock.digests(root, _declared(repo, root), params)
        if unwritten is None:
            codelock.write(root, code)
        else:
            unwritten[codelock.CODE_LOCK] = codelock.text_of(code)
        if record:
            dvc_leftovers.prune_orphans(repo)
            dvc_record.record_code_stage(repo)
        takes = {
            name: [source_lock.STAGE + source for source in entry.get("sources", {})]
            for name, entry in code.items()
        }
        needs, order = _ordered(root, params, repo, takes)
        names = [stage.addressing for stage in order]
        planned = set(expand(names, targets, asked=lambda: askable(raw, root)) or names)
        files = {
            os.path.join(repo.root_dir, name): values
            for name, values in ((PARAMS, raw), (codelock.CODE_LOCK, code))
        }
        walk = Walk(repo, needs, planned if force else set(), files)
        rows = tuple(walk.rows(dvc_graph.with_upstream(needs, order, planned)))
        walk.verified.save()
    rows = _with_missing_sources(root, params, rows)
    return Plan(_with_missing_public_data(root, raw, rows), params)


def _with_missing_sources(root: Path, params: Params, rows: tuple[PlanRow, ...]) -> tuple[PlanRow, ...]:
    """Returns the rows; those of sources that cannot be had without the network say so where there is none,
    since stages that do not need them may run for long, and what pip would fetch where there is one.
    """
    taking = {row.stage for row in rows if row.stage.startswith(source_lock.STAGE) and row.action == "run"}
    if not taking:
        return rows
    lacking = source_lock.not_at_hand(root, params, taking)
    return tuple(
        replace(row, reasons=(*row.reasons, lacking[row.stage])) if row.stage in lacking else row
        for row in rows
    )


def _with_missing_public_data(root: Path, raw: Any, rows: tuple[PlanRow, ...]) -> tuple[PlanRow, ...]:
    """Returns the rows; those that read a public set which is not here say what it is and how to have it."""
    lacking = [row.stage for row in rows if any(reason.startswith(f"{PUBLIC}/") for reason in row.reasons)]
    told = wanted.told(root, raw, lacking) if lacking else {}
    return tuple(
        replace(row, reasons=(*row.reasons, *told[row.stage])) if row.stage in told else row for row in rows
    )


def _unwritten_texts(root: Path, params: Params, text: str) -> dict[str, str]:
    """Returns the texts that DVC reads in place of the files when params.yaml has not been written."""
    return {PARAMS: text, source_lock.SOURCE_LOCK: source_lock.text_of(source_lock.make(root, params))}


def _declared(repo: Any, root: Path) -> list[Declared]:
    """Returns the declared stages. Raises BrokenLock where a damaged dvc.lock is why DVC cannot load them."""
    try:
        return dvc_api.declared(repo)
    except dvc_api.dvc_error():
        if broken := dvc_api.check_lock(root):
            raise dvc_api.BrokenLock(broken) from None
        raise


def _ordered(
    root: Path, params: Params, repo: Any, takes: Mapping[str, Iterable[str]]
) -> tuple[dict[Any, set[Any]], list[Any]]:
    """Returns the dependencies of the stages, and all stages but `code` in topological order."""
    needs = dvc_graph.graph(repo)
    made_paths.check(root, params, needs)
    needs = dvc_graph.with_sources(needs, takes)
    order = dvc_graph.stages_in_order(repo, needs)
    return needs, [stage for stage in order if stage.addressing != CODE_STAGE]


def check_wanted(root: Path, targets: Iterable[str], text: str) -> None:
    """Raise what a plan of `targets` raises for a params.yaml with the content `text`: ParamsError,
    UnknownStage, DVC's errors.

    Nothing is written or hashed. A damaged dvc.lock, which `run` repairs, is ignored.
    """
    raw = with_presets(parse(text), root)
    params = check(raw, root=root)
    with dvc_api.open_repo(root, {**_unwritten_texts(root, params, text), "dvc.lock": NO_LOCK}) as repo:
        _, order = _ordered(root, params, repo, {})
        expand([stage.addressing for stage in order], targets, asked=lambda: askable(raw, root))


def expand(
    names: Iterable[str],
    targets: Iterable[str],
    missing_ok: bool = False,
    asked: Callable[[], Iterable[str]] = tuple,
) -> list[str]:
    """Returns the stages that `targets` name; `rl` stands for every `rl@…`, `rl@grpo` for its seeds where
    there are `rl@grpo_s0`, `rl@grpo_s1`. An unknown target raises UnknownStage with the nearest names, unless
    `missing_ok`.

    `asked` returns the stages of presets without a run, which may have been meant.
    """
    import difflib

    names, result = list(names), []
    for target in targets:
        matches = [name for name in names if name == target or name.partition("@")[0] == target]
        matches = matches or members_of(target, names)
        if not matches and not missing_ok:
            family = target.partition("@")[0]
            spare = sorted(name for name in asked() if name.partition("@")[0] == family)
            close = difflib.get_close_matches(target, [*names, *spare], n=3, cutoff=0.4)
            message = f"no stage {target}" + (
                f"; did you mean {', '.join(close)}?" if close else f"; stages: {', '.join(names)}"
            )
            raise UnknownStage(
                message
                + (
                    f"\npresets without a stage, which can be asked for too: {', '.join(spare)}"
                    if spare
                    else ""
                )
            )
        result += matches
    return result
