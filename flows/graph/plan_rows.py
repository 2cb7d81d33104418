"""The stages of a plan, upstream first, each with what will happen to it and why.

The graph is walked once, with the content that every output will have: its recorded digest where the stage is
kept or restored, unknown where it runs. So the plan is exact also through chains of restored stages.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from flows.graph import (
    codelock,
    dvc_api,
    dvc_content,
    dvc_graph,
    dvc_leftovers,
    dvc_run_cache,
    plan_reasons,
    source_lock,
)
from flows.graph.stage_records import WORKTREE, read_entry

Action = Literal["keep", "checkout", "restore", "run", "run?"]
FETCH = "`dvc fetch` brings it again if the remote's copy is whole"


@dataclass(frozen=True)
class PlanRow:
    """One stage of the plan. `reasons`: the shortest first. `notes`: facts that DVC does not count as a
    reason.
    """

    stage: str
    action: Action
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "action": self.action,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "upstream": list(self.upstream),
        }


class _Unknown:
    """The content of an output whose stage will run."""


UNKNOWN = _Unknown()


class Walk:
    """One pass over the stages. Its DVC objects are discarded afterwards and never written to dvc.lock."""

    def __init__(self, repo: Any, needs: dict[Any, set[Any]], forced: set[str], files: dict[str, Any]):
        self.repo, self.forced = repo, forced
        self.upstream = dvc_graph.upstream_names(needs)
        self.locks = dvc_api.lock_entries(repo)
        self.orphans = dvc_leftovers.orphans(repo, self.locks)  # a run removes them first
        self.witnesses = dvc_run_cache.witnesses(repo)
        self.verified = dvc_run_cache.verified(repo)
        self.files = files  # parameter files by absolute path, parsed
        self.predicted: dict[str, Any] = {}  # absolute path of an output -> hash it will have, or UNKNOWN

    def rows(self, stages: list[Any]) -> Iterable[PlanRow]:
        for stage in stages:
            yield self._row(stage) if dvc_api.is_pipeline_stage(stage) else self._source(stage)

    def _source(self, stage: Any) -> PlanRow:
        """Returns the row of a .dvc file: data that DVC tracks but no stage makes. Changed data counts as it
        is; missing data is checked out.
        """
        status = {str(out): out.workspace_status().get(str(out)) for out in stage.outs}
        missing = [name for name, state in status.items() if state == "deleted"]
        changed = [name for name, state in status.items() if state and state != "deleted"]
        for out in stage.outs:
            if status[str(out)] == "deleted":
                self.predicted[out.fs_path] = out.hash_info
        present = [out for out in stage.outs if not status[str(out)] and out.hash_info]
        damaged = [out for out in present if not self.verified.holds(out.def_path, out.hash_info.value)]
        notes = tuple(
            f"{out.def_path} is damaged: its bytes are not those of its .dvc file; {FETCH}" for out in damaged
        )
        notes += tuple(
            f"{name} differs from its .dvc file; run `dvc add {name}` to version it" for name in changed
        )
        reasons = tuple(f"{name} is missing, its object is cached" for name in missing)
        return PlanRow(stage.addressing, "checkout" if missing else "keep", reasons, notes, (), {})

    def _row(self, stage: Any) -> PlanRow:
        lock = self.locks.get(stage.name)
        reasons: list[tuple[int, str]] = []
        if lock is None:
            reasons.append((0, "never run"))
        elif stage.cmd_changed:
            reasons.append((1, f"command {lock.get('cmd')!r} -> {stage.cmd!r}"))
        reasons += self._doubts(stage, lock)
        if stage.always_changed or stage.is_callback:
            reasons.append((0, "always runs (as declared)"))
        if stage.addressing in self.forced:
            reasons.append((0, "forced"))
        notes = plan_reasons.removed_inputs(stage, lock)
        inputs_present, waiting = True, list[str]()
        waiting += self._sources(stage, lock)
        for dep in stage.deps:
            if dvc_api.is_params(dep):
                reasons += plan_reasons.param_reasons(dep, lock, self.files)
                continue
            content = self._content(dep)
            if content is UNKNOWN:
                waiting.append(dep.def_path)
            elif content is None:
                inputs_present = False
                reasons.append((1, f"{dep.def_path} is missing"))
            elif dep.hash_info != content:
                if lock is not None and dep.hash_info:
                    reasons.append((2, plan_reasons.data_reason(dep, content, dep.fs_path in self.predicted)))
                elif lock is not None:
                    reasons.append((2, f"new dependency {dep.def_path}"))
                dvc_content.set_hash(dep, content)
        broken = (
            {out.def_path: state for out in stage.outs if (state := self._broken(out))}
            if lock is not None
            else {}
        )
        action = self._action(stage, reasons, broken, waiting, inputs_present)
        if action == "run" and inputs_present and not waiting:
            notes += dvc_run_cache.unreadable_entries(self.repo, stage)
        reasons += [(3, f"{path} {state}") for path, state in broken.items()]
        if waiting:
            reasons.append((4, f"upstream will run: {', '.join(waiting)}"))
        texts = tuple(text for _, text in sorted(reasons, key=lambda reason: (reason[0], len(reason[1]))))
        return PlanRow(
            stage.addressing,
            action,
            texts,
            notes,
            tuple(self.upstream[stage.addressing]),
            dict(stage.meta or {}),
        )

    def _doubts(self, stage: Any, lock: dict[str, Any] | None) -> list[tuple[int, str]]:
        """Returns a reason for each difference between dvc.lock and other records of the run: such an entry
        was edited, or merged of two.
        """
        if lock is None or stage.frozen:
            return []
        judgement = self.witnesses.judge(read_entry(stage.name, lock, WORKTREE))
        return [(2, f"the records disagree: {difference.text()}") for difference in judgement.differences]

    def _action(
        self, stage: Any, reasons: list[Any], broken: dict[str, str], waiting: list[str], inputs_present: bool
    ) -> Action:
        """Returns the action of a stage, and predicts its outputs' contents."""
        source = stage
        always = any(order == 0 and text != "never run" for order, text in reasons)
        if stage.frozen or (not reasons and not broken and not waiting):
            return "keep"
        action: Action = "run"
        if waiting:
            action = "run" if reasons else "run?"
        elif inputs_present and not always:
            if not reasons and all(self._cached(out) for out in stage.outs):
                action = "checkout"
            else:
                entry = dvc_run_cache.run_cache_entry(self.repo, stage)
                if entry is not None:
                    action, source = "restore", entry
                elif own_outs := dvc_run_cache.own_result(self.repo, stage):
                    action = "restore"
                    for out in stage.outs:
                        dvc_content.set_md5(out, own_outs[out.def_path])
        contents = {out.fs_path: out.hash_info for out in source.outs}
        for out in stage.outs:
            self.predicted[out.fs_path] = (
                contents[out.fs_path] if action in ("checkout", "restore") else UNKNOWN
            )
        return action

    def _sources(self, stage: Any, lock: dict[str, Any] | None) -> list[str]:
        """Returns the manifests of outside sources that are still to be made. In the stage's entry of
        code.lock.json, a known manifest gets the digest that it will have; an unknown one keeps its recorded
        digest.
        """
        path = os.path.join(self.repo.root_dir, codelock.CODE_LOCK)
        entry = self.files.get(path, {}).get(stage.addressing, {}).get("sources", {})
        recorded: Any = lock
        # a damaged dvc.lock may hold anything
        for part in ("params", codelock.CODE_LOCK, stage.addressing, "sources"):
            recorded = (recorded.get(part) if isinstance(recorded, dict) else None) or {}
        recorded = recorded if isinstance(recorded, dict) else {}
        waiting = []
        for name in entry:
            manifest = f"{source_lock.FOLDER}/{name}.json"
            content = self.predicted.get(os.path.join(self.repo.root_dir, manifest))
            if content is UNKNOWN:
                waiting.append(manifest)
                entry[name] = recorded.get(name, entry[name])
            elif content is not None:
                entry[name] = content.value
        return waiting

    def _cached(self, out: Any) -> bool:
        return (
            bool(out.hash_info)
            and not dvc_run_cache.uncached(out)
            and not self.verified.damaged_objects(out.hash_info.value)
        )

    def _content(self, dep: Any) -> Any:
        """Returns the content that a dependency will have when its stage runs: a hash, UNKNOWN, or None when
        it does not exist.
        """
        if dep.fs_path in self.predicted:
            return self.predicted[dep.fs_path]
        if any(dep.fs.isin(dep.fs_path, path) for path in self.predicted):
            return UNKNOWN  # part of a folder that will be made or brought back
        inside = {path: content for path, content in self.predicted.items() if dep.fs.isin(path, dep.fs_path)}
        if UNKNOWN in inside.values():
            return UNKNOWN
        removed = [path for path in self.orphans if dep.fs.isin(path, dep.fs_path)]
        if inside or removed:
            return dvc_content.folder_hash(dep, inside, removed)
        try:
            return dep.get_hash() if dep.exists else None
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{dep.def_path}: {error.filename} is a link to nothing; remove it, or bring back what it "
                f"leads to"
            ) from None

    def _broken(self, out: Any) -> str:
        """Returns what is wrong with a recorded output, in words; empty when nothing is. DVC's own view comes
        first, but DVC trusts what a remote sent.
        """
        state = out.workspace_status().get(str(out))
        status = {None: "", "deleted": "is missing"}.get(state, f"was {state}")
        if not state and out.hash_info and not self.verified.holds(out.def_path, out.hash_info.value):
            status = "is damaged: its bytes are not the recorded ones"
        text = _uncached(out, status)
        damaged = self.verified.damaged_objects(out.hash_info.value) if text and out.hash_info else []
        if damaged:  # to DVC it is there: it would not be fetched
            names = [os.path.relpath(path, self.repo.root_dir) for path in damaged]
            remedy = (
                f"`rm -f {' '.join(names)}; dvc fetch {out.stage.addressing}` brings it again if the "
                f"remote's copy is whole"
            )
            text += f"; {', '.join(names)} in the cache is damaged too: {remedy}"
        return text


def _uncached(out: Any, status: str) -> str:
    # DVC would run the stage even though the output stands there
    if out.use_cache and out.hash_info and dvc_run_cache.uncached(out):
        return (
            f"{status} and not in the cache"
            if status
            else f"is not in the cache (`dvc commit {out.stage.addressing}` puts it there)"
        )
    return status
