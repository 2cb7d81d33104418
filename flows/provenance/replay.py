"""Replay of a stage: it runs again from its recorded inputs, parameters and code in a scratch directory, and
every output file is compared.

On a CPU the bytes must be equal; a difference comes from something that the record does not contain. The
workspace, the cache, dvc.lock and the registry are only read.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows.graph.closure import Code
from flows.graph.params_file import PARAMS, read_yaml
from flows.graph.stage_records import SOURCES
from flows.provenance import source_state
from flows.provenance.content import Contents, file_differences
from flows.provenance.history import RUN_CACHE, WORKTREE, Entry, History
from flows.provenance.subject import read_record
from tasks.checkpoint_lineage import NAME, VOLATILE
from tasks.content import content_id
from tasks.execution_params import ExecutionParams
from tasks.stage import Spec

LOG = "replay.log"


class ReplayError(RuntimeError):
    """The stage could not be replayed: an input, its code or its record is missing, or its command failed."""


@dataclass(frozen=True)
class OutputChange:
    """An output file that differs. `what`: changed, new, gone, or for lineage.json the field."""

    path: str
    what: str

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def replay(
    root: str | Path,
    stage: str,
    scratch: str | Path,
    entry: Entry | None = None,
    timeout_s: float | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> list[OutputChange]:
    """Run `stage` again below `scratch` (created if missing, should be empty). Returns the differences; empty
    means bit-equal.

    `entry`: the recorded run to repeat (an `Ancestry.entry`); default the one in dvc.lock. The command's
    output goes to scratch/replay.log. Raises ReplayError; needs free space for the inputs and the outputs.
    """
    contents = Contents(root)
    history = History(contents.root, contents.cache)
    entry = entry or history.lock().get(stage)
    if entry is None:
        raise ReplayError(f"dvc.lock records no run of {stage}; `whetstone run {stage}` makes one")
    scratch = Path(scratch).resolve()
    folders = _source_folders(contents, entry)
    # inputs at ../… must stay inside the scratch directory
    tree = scratch.joinpath("tree", *["below"] * _depth([*entry.inputs, *folders]))
    record = _record(contents, entry)
    say(f"source state: {_prepare_tree(contents, history, entry, record, tree)}")
    for path, digest in entry.inputs.items():
        _bring(contents, path, digest, tree)
    for path in folders:
        _link(contents.root / path, tree / path)
    spec = _spec(contents.root, entry, record, scratch)
    say(f"training {entry.stage} in {tree}")
    _run(spec, tree, scratch, timeout_s)
    return [
        difference
        for path, digest in entry.outs.items()
        for difference in _compare(contents, path, digest, tree, record)
    ]


def _source_folders(contents: Contents, entry: Entry) -> list[str]:
    """Returns the relative paths of the outside models and tokenizers that the stage opens. The stage itself
    compares their bytes with the manifest.
    """
    paths = []
    for path, digest in entry.inputs.items():
        if path.startswith(f"{SOURCES}/"):
            content = contents.at(path)
            manifest_path = (
                contents.root / path if content and content[0] == digest else contents.object(digest)
            )
            if outside := (read_record(manifest_path).get("source") or {}).get("path"):
                paths.append(str(outside))
    return [path for path in paths if not Path(path).expanduser().is_absolute()]


def _link(source: Path, target: Path) -> None:
    if source.exists() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve())


def _depth(inputs: Iterable[str]) -> int:
    return max((Path(path).parts.count("..") for path in inputs), default=0)


def _record(contents: Contents, entry: Entry) -> Mapping[str, Any]:
    """Returns the lineage.json of the recorded run; empty for a stage that has none."""
    out = next((path for path in entry.outs if path.endswith(f"/{NAME}")), None)
    if out is None:
        return {}
    digest = entry.outs[out]
    content = contents.at(out)
    record_path = contents.root / out if content and content[0] == digest else contents.object(digest)
    record = read_record(record_path)
    if not record:
        raise ReplayError(
            f"{out} as it was recorded ({digest}) is neither in the workspace nor in DVC's cache; fetch it "
            f"with `dvc fetch`"
        )
    return record


def _prepare_tree(
    contents: Contents, history: History, entry: Entry, record: Mapping[str, Any], tree: Path
) -> str:
    """Write the source files whose code digests equal the recorded ones below `tree`. Returns where they came
    from.
    """
    root, recorded = contents.root, dict(entry.code)
    if _reaches(root, recorded):
        source_state.copy_current(root, tree)
        return "the present tree"
    git = record.get("git") or {}
    digests = [digest for path, digest in entry.outs.items() if path.endswith(f"/{NAME}")] or list(
        entry.outs.values()
    )
    states = [
        git.get("snapshot"),
        entry.state if entry.state not in (WORKTREE, RUN_CACHE) else None,
        git.get("commit"),
    ]
    for commit in dict.fromkeys(
        [*states, *(candidate for digest in digests[:1] for candidate in history.commits_with(digest))]
    ):
        if not source_state.has_commit(root, commit):
            continue
        shutil.rmtree(tree, ignore_errors=True)
        source_state.extract(root, str(commit), tree)
        if _reaches(tree, recorded):
            return f"commit {commit}"
    changed = ", ".join(_code_changes(root, recorded)[:5])
    raise ReplayError(
        f"the code that {entry.stage} ran is not at hand: the present tree's digests differ in {changed}, "
        f"and "
        "no snapshot or commit has them; fetch the snapshots with `git fetch origin "
        "'refs/pipeline/*:refs/pipeline/*'`"
    )


def _reaches(root: Path, recorded: Mapping[str, str]) -> bool:
    return not _code_changes(root, recorded)


def _code_changes(root: Path, recorded: Mapping[str, str]) -> list[str]:
    """Returns the recorded modules whose digest in the tree at `root` differs."""
    current = Code(root).digests(name for name in recorded if "/" not in name)
    return [name for name, digest in recorded.items() if current.get(name) != digest]


def _bring(contents: Contents, path: str, digest: str, tree: Path) -> None:
    """Put a recorded input in place. An absolute path is used where it is, if its bytes are still the
    recorded ones.
    """
    if Path(path).is_absolute():
        content = contents.at(path)
        if not content or content[0] != digest:
            raise ReplayError(f"{path} is no longer what the stage read ({digest})")
        return
    target = tree / path
    if target.exists():
        if content_id(target)[0] == digest:
            return  # the source state held it
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    try:
        contents.materialise(path, digest, target)
    except FileNotFoundError as error:
        raise ReplayError(str(error)) from None


def _spec(root: Path, entry: Entry, record: Mapping[str, Any], scratch: Path) -> Spec:
    """Returns the recorded facts as a specification. The execution settings (threads, device) are those of
    the present params.yaml, since they do not change results.
    """
    return Spec(
        stage=entry.stage,
        key=str(record.get("key") or "replay"),
        work=str(scratch / "work"),
        outs=tuple(entry.outs),
        inputs=dict(entry.inputs),
        params=dict(entry.params),
        code=dict(entry.code),
        environment={**entry.environment, **({"python": entry.python} if entry.python else {})},
        execution=ExecutionParams.model_validate(read_yaml(root / PARAMS).get("execution") or {}).of_stages(),
        git=dict(record.get("git") or {}),
        run={"flow_run": "replay", "mlflow_run": None},
        command=entry.command,
    )


def _run(spec: Spec, tree: Path, scratch: Path, timeout_s: float | None) -> None:
    """Run the stage's own command in the scratch tree, in its own process group, without tracking."""
    (scratch / "work").mkdir(parents=True, exist_ok=True)
    path = scratch / "spec.json"
    spec.write(path)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MLFLOW_") and name != "PYTHONPATH"
    }
    environment |= {"WHETSTONE_SPEC": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    with open(scratch / LOG, "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tasks", spec.stage],
            cwd=tree,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ReplayError(f"{spec.stage} did not end within {timeout_s} s; see {scratch / LOG}") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if code:
        tail = (scratch / LOG).read_text("utf-8", errors="replace").strip().splitlines()[-5:]
        raise ReplayError(
            f"{spec.stage} failed with exit code {code}; see {scratch / LOG}: " + " | ".join(tail)
        )


def _compare(
    contents: Contents, path: str, digest: str, tree: Path, record: Mapping[str, Any]
) -> list[OutputChange]:
    """Returns the differences of one output from its record, by file; of lineage.json by field, without the
    fields that may differ between equal runs.
    """
    output = tree / path
    if not output.exists():
        return [OutputChange(path, "gone")]
    if path.endswith(f"/{NAME}"):
        current = json.loads(output.read_text("utf-8"))
        fields = sorted({*record} - {*VOLATILE, "environment"})  # an older record holds fewer fields
        return [
            OutputChange(f"{path}:{name}", "changed")
            for name in fields
            if record.get(name) != current.get(name)
        ]
    identity, files = content_id(output)
    if identity == digest:
        return []
    before = contents.files(digest, path)
    if files is None or before is None:
        return [OutputChange(path, "changed")]
    return [
        OutputChange(f"{path}/{name}", change) for name, change in file_differences(before, files).items()
    ]
