"""The exact, read-only answer to "what would run, and why", from DVC's own objects.

`dvc status` and `dvc repro --dry` are no plan: they say nothing of what lies downstream or in the run cache.
Here the graph is walked once, upstream first, carrying for every output the content that it will have: its
recorded digest where the stage is kept or restored, unknown where it runs. So the plan is exact through
chains of restored stages, and `run?` marks a stage that early cut-off may still spare.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from flows.graph import codelock, dvc_api, dvc_run_cache, made_paths, source_lock
from flows.graph.fill import filled
from flows.graph.params import Params, check
from flows.graph.params_file import PARAMS, parse, read_yaml
from flows.graph.presets import with_presets
from flows.graph.requested import askable
from flows.graph.stage_records import WORKTREE, read_entry

Action = Literal["keep", "checkout", "restore", "run", "run?"]


@dataclass(frozen=True)
class Row:
    """One stage of the plan. `reasons` come shortest first; `notes` are things DVC does not count as a
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


@dataclass(frozen=True)
class Plan:
    """All stages, upstream first."""

    rows: tuple[Row, ...]
    params: Params

    @property
    def todo(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.action != "keep")

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(f"{row.stage}: {note}" for row in self.rows for note in row.notes)


NO_LOCK = "schema: '2.0'\nstages: {}\n"
FETCH = "`dvc fetch` brings it again if the remote's copy is whole"


class UnknownStage(ValueError):
    """A target names no stage."""


class _Unknown:
    """The content of an output whose stage will run."""


UNKNOWN = _Unknown()


def make(
    root: Path,
    targets: Iterable[str] = (),
    force: bool = False,
    record: bool = False,
    text: str | None = None,
) -> Plan:
    """Check params.yaml, refresh code.lock.json, and plan `targets` with all they need (all stages when
    empty).

    `force` plans the targets themselves as run. `record` also lets dvc.lock know the refreshed
    code.lock.json, which only `run` does. With `text` the plan is that of a params.yaml which holds it, and
    nothing is written. Raises ParamsError, UnknownStage, dvc_api.BrokenLock.
    """
    raw = filled(with_presets(read_yaml(root / PARAMS) if text is None else parse(text), root), root)
    params = check(raw, root=root)
    unwritten = (
        None
        if text is None
        else {PARAMS: text, source_lock.SOURCE_LOCK: source_lock.text_of(source_lock.make(root, params))}
    )
    if unwritten is None:
        source_lock.write(root, params)  # before DVC reads dvc.yaml, which makes stages of it
    with dvc_api.locked_repo(root, unwritten) as repo:
        try:
            declared = dvc_api.declared(repo)
        except dvc_api.dvc_error():
            broken = dvc_api.check_lock(root)
            if broken:
                raise dvc_api.BrokenLock(broken) from None
            raise
        code = codelock.digests(root, declared, params)
        if unwritten is None:
            codelock.write(root, code)
        else:
            unwritten[codelock.CODE_LOCK] = codelock.text_of(code)
        if record:
            dvc_api.prune_orphans(repo)
            dvc_api.record_code_stage(repo)
        takes = {
            name: [source_lock.STAGE + one for one in entry.get("sources", {})]
            for name, entry in code.items()
        }
        needs = dvc_api.graph(repo)
        made_paths.check(root, params, needs)
        needs = dvc_api.with_sources(needs, takes)
        order = [
            stage for stage in dvc_api.stages_in_order(repo, needs) if stage.addressing != dvc_api.CODE_STAGE
        ]
        wanted = set(
            expand([stage.addressing for stage in order], targets, asked=lambda: askable(raw, root))
        ) or {s.addressing for s in order}
        chosen = dvc_api.with_upstream(needs, order, wanted)
        files = {
            os.path.join(repo.root_dir, name): values
            for name, values in ((PARAMS, raw), (codelock.CODE_LOCK, code))
        }
        walk = _Walk(repo, needs, wanted if force else set(), files)
        rows = tuple(walk.rows(chosen))
        walk.verified.save()
        return Plan(rows, params)


def check_wanted(root: Path, targets: Iterable[str], text: str) -> None:
    """Raise what a plan of `targets` raises for a params.yaml that holds `text`: ParamsError, UnknownStage,
    DVC's errors.

    Nothing is written or hashed, and a damaged dvc.lock, which `run` mends, is not looked at.
    """
    raw = with_presets(parse(text), root)
    params = check(raw)
    instead = {
        PARAMS: text,
        source_lock.SOURCE_LOCK: source_lock.text_of(source_lock.make(root, params)),
        "dvc.lock": NO_LOCK,
    }
    with dvc_api.open_repo(root, instead) as repo:
        needs = dvc_api.graph(repo)
        made_paths.check(root, params, needs)
        names = [
            stage.addressing
            for stage in dvc_api.stages_in_order(repo, needs)
            if stage.addressing != dvc_api.CODE_STAGE
        ]
        expand(names, targets, asked=lambda: askable(raw, root))


def expand(
    names: Iterable[str],
    targets: Iterable[str],
    missing_ok: bool = False,
    asked: Callable[[], Iterable[str]] = tuple,
) -> list[str]:
    """`rl` stands for every `rl@…`; an unknown target raises with the nearest names, unless `missing_ok`.

    `asked` gives the stages of presets without a run, which may have been meant.
    """
    import difflib

    names, result = list(names), []
    for target in targets:
        hits = [name for name in names if name == target or name.partition("@")[0] == target]
        if not hits and not missing_ok:
            family = target.partition("@")[0]
            spare = sorted(name for name in asked() if name.partition("@")[0] == family)
            close = difflib.get_close_matches(target, [*names, *spare], n=3, cutoff=0.4)
            said = f"no stage {target}" + (
                f"; did you mean {', '.join(close)}?" if close else f"; stages: {', '.join(names)}"
            )
            raise UnknownStage(
                said
                + (
                    f"\npresets without a stage, which can be asked for too: {', '.join(spare)}"
                    if spare
                    else ""
                )
            )
        result += hits
    return result


class _Walk:
    """One pass over the stages; the DVC objects are thrown away afterwards, never dumped."""

    def __init__(self, repo: Any, needs: dict[Any, set[Any]], forced: set[str], files: dict[str, Any]):
        self.repo, self.forced = repo, forced
        self.upstream = dvc_api.upstream_names(needs)
        self.locks = dvc_api.lock_entries(repo)
        self.orphans = dvc_api.orphans(repo, self.locks)  # a run removes them first
        self.witnesses = dvc_run_cache.witnesses(repo)
        self.verified = dvc_run_cache.verified(repo)
        self.files = files  # parameter files by absolute path, parsed
        self.predicted: dict[str, Any] = {}  # absolute path of an output -> hash it will have, or UNKNOWN

    def rows(self, stages: list[Any]) -> Iterable[Row]:
        for stage in stages:
            yield self._row(stage) if dvc_api.is_pipeline_stage(stage) else self._source(stage)

    def _source(self, stage: Any) -> Row:
        """A .dvc file: data that DVC tracks but no stage makes. Changed data counts as it is; missing data
        comes by checkout.
        """
        status = {str(out): out.workspace_status().get(str(out)) for out in stage.outs}
        missing = [name for name, state in status.items() if state == "deleted"]
        changed = [name for name, state in status.items() if state and state != "deleted"]
        for out in stage.outs:
            if status[str(out)] == "deleted":
                self.predicted[out.fs_path] = out.hash_info
        known = [out for out in stage.outs if not status[str(out)] and out.hash_info]
        damaged = [out for out in known if not self.verified.holds(out.def_path, out.hash_info.value)]
        notes = tuple(
            f"{out.def_path} is damaged: its bytes are not those of its .dvc file; {FETCH}" for out in damaged
        )
        notes += tuple(
            f"{name} differs from its .dvc file; run `dvc add {name}` to version it" for name in changed
        )
        reasons = tuple(f"{name} is missing, its object is cached" for name in missing)
        return Row(stage.addressing, "checkout" if missing else "keep", reasons, notes, (), {})

    def _row(self, stage: Any) -> Row:
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
        notes = self._removed(stage, lock)
        known, waiting = True, list[str]()
        waiting += self._sources(stage, lock)
        for dep in stage.deps:
            if dvc_api.is_params(dep):
                reasons += self._param(dep, lock)
                continue
            content = self._content(dep)
            if content is UNKNOWN:
                waiting.append(dep.def_path)
            elif content is None:
                known = False
                reasons.append((1, f"{dep.def_path} is missing"))
            elif dep.hash_info != content:
                if lock is not None and dep.hash_info:
                    reasons.append((2, self._data_reason(dep, content)))
                elif lock is not None:
                    reasons.append((2, f"new dependency {dep.def_path}"))
                dvc_api.set_hash(dep, content)
        broken = (
            {out.def_path: state for out in stage.outs if (state := self._broken(out))}
            if lock is not None
            else {}
        )
        action = self._action(stage, reasons, broken, waiting, known)
        if action == "run" and known and not waiting:
            notes += dvc_run_cache.passed_over(self.repo, stage)
        reasons += [(3, f"{path} {state}") for path, state in broken.items()]
        if waiting:
            reasons.append((4, f"upstream will run: {', '.join(waiting)}"))
        texts = tuple(text for _, text in sorted(reasons, key=lambda r: (r[0], len(r[1]))))
        return Row(
            stage.addressing,
            action,
            texts,
            notes,
            tuple(self.upstream[stage.addressing]),
            dict(stage.meta or {}),
        )

    def _doubts(self, stage: Any, lock: dict[str, Any] | None) -> list[tuple[int, str]]:
        """What other records of the run say otherwise than dvc.lock: such an entry was edited, or merged of
        two.
        """
        if lock is None or stage.frozen:
            return []
        judgement = self.witnesses.judge(read_entry(stage.name, lock, WORKTREE))
        return [(2, f"the records disagree: {difference.text()}") for difference in judgement.differences]

    def _action(
        self, stage: Any, reasons: list[Any], broken: dict[str, str], waiting: list[str], known: bool
    ) -> Action:
        """Decide, and predict the outputs' contents."""
        made = stage
        always = any(order == 0 and text != "never run" for order, text in reasons)
        if stage.frozen or (not reasons and not broken and not waiting):
            return "keep"
        action: Action = "run"
        if waiting:
            action = "run" if reasons else "run?"
        elif known and not always:
            if not reasons and all(self._cached(out) for out in stage.outs):
                action = "checkout"
            else:
                found = dvc_run_cache.run_cache_entry(self.repo, stage)
                if found is not None:
                    action, made = "restore", found
                elif own := dvc_run_cache.own_result(self.repo, stage):
                    action = "restore"
                    for out in stage.outs:
                        dvc_api.set_md5(out, own[out.def_path])
        contents = {out.fs_path: out.hash_info for out in made.outs}
        for out in stage.outs:
            self.predicted[out.fs_path] = (
                contents[out.fs_path] if action in ("checkout", "restore") else UNKNOWN
            )
        return action

    def _sources(self, stage: Any, lock: dict[str, Any] | None) -> list[str]:
        """Manifests of outside sources that are still to be made. In the stage's entry of code.lock.json,
        those that are known take the digest that they will have, those that are not keep the recorded one:
        what they change is not known.
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
        """The content a dependency will have when its stage's turn comes: a hash, UNKNOWN, or None when it is
        not there.
        """
        if dep.fs_path in self.predicted:
            return self.predicted[dep.fs_path]
        if any(dep.fs.isin(dep.fs_path, path) for path in self.predicted):
            return UNKNOWN  # part of a folder that will be made or brought back
        inside = {path: content for path, content in self.predicted.items() if dep.fs.isin(path, dep.fs_path)}
        if UNKNOWN in inside.values():
            return UNKNOWN
        gone = [path for path in self.orphans if dep.fs.isin(path, dep.fs_path)]
        if inside or gone:
            return dvc_api.folder_hash(dep, inside, gone)
        try:
            return dep.get_hash() if dep.exists else None
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{dep.def_path}: {error.filename} is a link to nothing; remove it, or bring back what it "
                f"leads to"
            ) from None

    @staticmethod
    def _removed(stage: Any, lock: dict[str, Any] | None) -> tuple[str, ...]:
        if lock is None:
            return ()
        have = {dep.def_path for dep in stage.deps if not dvc_api.is_params(dep)}
        gone = [dep["path"] for dep in lock.get("deps", []) if dep["path"] not in have]
        named = {dep.def_path: set(dep.params) for dep in stage.params}
        for path, values in lock.get("params", {}).items():
            gone += [f"{path}:{key}" for key in values if key not in named.get(path, set())]
        return tuple(
            f"no longer depends on {name}, which made the recorded result; DVC does not notice, --force "
            f"reruns"
            for name in gone
        )

    def _param(self, dep: Any, lock: dict[str, Any] | None) -> list[tuple[int, str]]:
        try:
            now = dvc_api.params_hash(dep, self.files)
        except dvc_api.dvc_error() as error:
            return [(1, f"parameter: {error}")]
        old, new = dvc_api.flatten(dep.hash_info.value or {}), dvc_api.flatten(now.value)
        dvc_api.set_hash(dep, now)
        if lock is None:
            return []
        changed = [
            key
            for key in sorted(old.keys() | new.keys())
            if key not in old or key not in new or old[key] != new[key]
        ]
        if not dep.def_path.endswith(codelock.CODE_LOCK):
            return [
                (1, f"param {key} {old.get(key, '(absent)')!r} -> {new.get(key, '(absent)')!r}")
                for key in changed
            ]
        # An empty mapping that is filled, or emptied, is told by its keys.
        told = [key for key in changed if not any(other.startswith(f"{key}.") for other in changed)]
        # of a choice of another kind the kind is told, not the options that it has and the other has not
        kinds = {key.removesuffix("kind") for key in told if key.endswith(".kind")}
        told = [
            key
            for key in told
            if key.endswith(".kind") or not any(key.startswith(choice) for choice in kinds)
        ]
        return [_code_reason(key, key in old, key in new, old.get(key), new.get(key)) for key in told]

    def _data_reason(self, dep: Any, content: Any) -> str:
        old = dep.hash_info
        files = (
            dvc_api.tree_changes(dep, old)
            if content.isdir and old.isdir and dep.fs_path not in self.predicted
            else []
        )
        return f"{dep.def_path} changed" + (
            f" ({', '.join(files)})" if files else f" ({old.value[:8]} -> {content.value[:8]})"
        )

    def _broken(self, out: Any) -> str:
        """What is wrong with a recorded output, in words; empty when nothing is. DVC's own view first, which
        trusts what a remote sent.
        """
        state = out.workspace_status().get(str(out))
        said = {None: "", "deleted": "is missing"}.get(state, f"was {state}")
        if not state and out.hash_info and not self.verified.holds(out.def_path, out.hash_info.value):
            said = "is damaged: its bytes are not the recorded ones"
        text = _uncached(out, said)
        wrong = self.verified.damaged_objects(out.hash_info.value) if text and out.hash_info else []
        if wrong:  # to DVC it is there: it would not be fetched
            names = [os.path.relpath(path, self.repo.root_dir) for path in wrong]
            mend = (
                f"`rm -f {' '.join(names)}; dvc fetch {out.stage.addressing}` brings it again if the "
                f"remote's copy is whole"
            )
            text += f"; {', '.join(names)} in the cache is damaged too: {mend}"
        return text


def _uncached(out: Any, said: str) -> str:
    # DVC would run the stage even though the output stands there
    if out.use_cache and out.hash_info and dvc_run_cache.uncached(out):
        return (
            f"{said} and not in the cache"
            if said
            else f"is not in the cache (`dvc commit {out.stage.addressing}` puts it there)"
        )
    return said


def _code_reason(key: str, was: bool, stays: bool, old: Any, new: Any) -> tuple[int, str]:
    _, _, name = key.partition(f".{codelock.SETTINGS}.")
    if name:
        shown = [repr(value) if there else "'(absent)'" for value, there in ((old, was), (new, stays))]
        return 1, f"param {name} {' -> '.join(shown)}"
    _, _, name = key.partition(".modules.")
    if name:
        return 2, f"code {name} {'changed' if was and stays else 'is new' if stays else 'is gone'}"
    _, _, name = key.partition(".environment.")
    if name:
        return 2, f"environment {name} {old or 'unused'} -> {new or 'unused'}"
    _, _, name = key.partition(".sources.")
    if name:
        return (
            2,
            f"source {name} {'changed' if was and stays else 'is new' if stays else 'is no longer taken'}",
        )
    return 2, f"{key.rsplit('.', 1)[-1]} {old} -> {new}"
