"""The pinned specification of one stage run, built from DVC's declaration and the present contents.

`python -m flows.graph.spec make STAGE` prints the path of a new one, `… verify PATH` exits with 75 when an
input has changed since, and `… refuse PATH` puts aside what was trained with something that the digest does
not contain. This guards a stage that runs without the runner (`dvc repro`, `python -m tasks`) against edits
made while it runs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from flows.graph import aside, bytecode, codelock, dvc_api, dvc_record, families, source_lock
from flows.graph.params import load
from flows.workspace import STATE
from tasks.stage import Spec

DRIFTED = 75


def key_of(stage: Any, pinned: dict[str, tuple[Any, Any]]) -> str:
    """Returns 16 hexadecimal digits that identify command, inputs, parameters, code and outputs of a
    stage.
    """
    facts = {
        "cmd": dvc_api.command(stage),
        "inputs": {path: content.value for path, (content, _) in pinned.items()},
        "outs": sorted(out.def_path for out in stage.outs),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def work_directory(root: Path, name: str, key: str) -> Path:
    """Returns the work directory of a stage and key. Only a run with the same key may resume from it."""
    return root / STATE / "work" / f"{name.replace('@', '-')}-{key}"


def build(
    root: Path,
    stage: Any,
    pinned: dict[str, tuple[Any, Any]],
    execution: dict[str, Any],
    run: dict[str, Any],
    git: dict[str, Any],
) -> Spec:
    """Returns the specification of `stage` with its inputs as pinned."""
    params: dict[str, Any] = {}
    code: dict[str, Any] = {}
    inputs: dict[str, str] = {}
    for dep in stage.deps:
        value = pinned[dep.def_path][0].value
        if not dvc_api.is_params(dep):
            inputs[dep.def_path] = value
        elif dep.def_path.endswith(codelock.CODE_LOCK):
            code = next(iter(value.values()), {})
            params.update(code.get(codelock.SETTINGS, {}))
        else:
            params.update(value)
    inputs |= {
        f"{source_lock.FOLDER}/{name}.json": digest for name, digest in code.get("sources", {}).items()
    }
    key = key_of(stage, pinned)
    bytecode.drop_outdated(root, code.get("modules", {}))
    return Spec(
        stage=stage.addressing,
        key=key,
        work=str(work_directory(root, stage.addressing, key)),
        outs=tuple(out.def_path for out in stage.outs),
        inputs=inputs,
        params=params,
        code=code.get("modules", {}),
        environment={**code.get("environment", {}), "python": code.get("python", "")},
        execution=execution,
        git=git,
        run=run,
        command=dvc_api.command(stage),
        divisible=families.divisible(stage.meta),
    )


def git_facts(root: Path) -> dict[str, Any]:
    """Returns {"commit", "dirty"} of the user's repository; commit is None outside of git or before the first
    commit.
    """

    def ask(*words: str) -> str | None:
        process = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
        return process.stdout.strip() if process.returncode == 0 else None

    return {"commit": ask("rev-parse", "--verify", "-q", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}


def make(root: Path, name: str) -> Path:
    """Pin the inputs of a stage and write its specification, for a run without the runner. Returns the file's
    path.
    """
    import time

    params = load(root)
    with dvc_api.open_repo(root) as repo:
        codelock.write(root, codelock.digests(root, dvc_api.declared(repo), params))
        stage = repo.stage.load_one(name=name)
        pinned = dvc_record.pin(stage)
        spec = build(
            root,
            stage,
            pinned,
            params.execution.of_stages(),
            {"flow_run": None, "started": time.time()},
            git_facts(root),
        )
    if folder := aside.clear(root, spec):
        print(f"{name}:{aside.kept_message(root, folder)}", file=sys.stderr)
    path = Path(spec.work) / "spec.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    spec.write(path)
    return path


def verify(root: Path, path: Path) -> list[str]:
    """Returns what has changed since the specification was written: input paths, parameters, modules."""
    spec = Spec.read(path)
    params = load(root)
    with dvc_api.open_repo(root) as repo:
        codelock.write(root, codelock.digests(root, dvc_api.declared(repo), params))
        stage = repo.stage.load_one(name=spec.stage)
        current = build(root, stage, dvc_record.pin(stage), {}, {}, {})
    changed = []
    for title, before, after in (
        ("input", spec.inputs, current.inputs),
        ("parameter", spec.params, current.params),
        ("code", spec.code, current.code),
    ):
        changed += [
            f"{title} {key}" for key in sorted({*before, *after}) if before.get(key) != after.get(key)
        ]
    return changed


def main() -> int:
    mode, argument = sys.argv[1:3]
    root = Path.cwd()
    if mode == "make":
        print(make(root, argument))
        return 0
    path = Path(argument)
    if mode == "refuse":
        spec = Spec.read(path)
        message = aside.kept_message(root, aside.keep(root, spec, aside.refused(path.parent)))
        print(f"{spec.stage} is refused.{message}", file=sys.stderr)
        return 0
    changed = verify(root, path)
    if changed:
        why = f"changed while the stage ran: {', '.join(changed)}"
        message = aside.kept_message(root, aside.keep(root, Spec.read(path), why))
        print(f"{why}. The result must not be recorded as theirs; run it again.{message}", file=sys.stderr)
        return DRIFTED
    shutil.rmtree(Path(argument).parent, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
