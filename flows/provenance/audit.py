"""Verify a checkpoint: its bytes, its inputs' bytes up to the raw data, its own lineage.json, and its registry entry must all agree.

Nothing is believed because a database says so: every file is read. What `lineage` flags is a problem here too; the audit adds what only
shows when records are held against each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows.graph.dvc_api import flatten
from flows.provenance.content import GOOD, file_differences
from flows.provenance.lineage import Ancestry
from flows.provenance.subject import CHECKPOINT, VERSION
from tasks.checkpoint_lineage import NAME
from tasks.content import folder_digest


@dataclass(frozen=True)
class Problem:
    """`path`: the file or folder that does not verify. `problem`: what is wrong with it, and the way out."""

    path: str
    problem: str

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def audit(root: str | Path, subject: str) -> list[Problem]:
    """All that does not verify about `subject` (as for `flows.provenance.lineage.lineage`); empty when everything does.

    Raises UnknownSubject when there is nothing to audit, BrokenRecord when dvc.lock cannot be read.
    """
    return audited(Ancestry(root, subject))


def audited(ancestry: Ancestry) -> list[Problem]:
    """The same, for a walk that has been made."""
    found = [Problem(row["path"], row["problem"]) for row in ancestry.problems]
    found += _bytes(ancestry)
    if ancestry.subject.kind in (CHECKPOINT, VERSION):
        found += _own_record(ancestry)
        found += _registry(ancestry)
    seen: dict[str, Problem] = {}
    for problem in found:
        seen.setdefault(f"{problem.path}\0{problem.problem}", problem)
    return list(seen.values())


def _bytes(ancestry: Ancestry) -> Iterator[Problem]:
    """A registered version may promise bytes that neither its folder nor the cache holds."""
    subject = ancestry.subject
    if subject.kind != VERSION or not subject.digest:
        return
    source = subject.version["source"]
    if not source.startswith(f"dvc://{subject.digest}/"):
        yield Problem(
            subject.shown,
            f"the registry disagrees with itself: source {source}, tag dvc.md5 {subject.digest}; register it again with a run",
        )
    if ancestry.entry is None:
        kept = ancestry.contents.stored(subject.digest)
        here = ancestry.content and ancestry.content[0] == subject.digest
        if not here and kept.status not in GOOD:
            yield Problem(subject.shown, f"the bytes of version {subject.version['version']} ({subject.digest}) are {kept.status}")


def _own_record(ancestry: Ancestry) -> Iterator[Problem]:
    """lineage.json against the files beside it, against itself, and against the record of the run."""
    subject, entry = ancestry.subject, ancestry.entry
    record = subject.recorded
    shown = _shown(ancestry, subject.record)
    if subject.record is None:
        missing = str(Path(ancestry.subject.path or subject.place).parent / NAME)
        if subject.kind == CHECKPOINT:
            yield Problem(
                missing, "the checkpoint has no lineage.json beside it; bring it back with `dvc checkout` or from where it was copied"
            )
        return
    if not record.get("model_digest"):
        yield Problem(shown, "cannot be read as a lineage.json (cut short or edited); bring it back with `dvc checkout`")
        return
    files = record.get("files") or {}
    if folder_digest(files) != record["model_digest"]:
        yield Problem(shown, "was edited: its list of files does not give its own model_digest")
    content = ancestry.content
    if content and content[0] != record["model_digest"]:
        differing = ", ".join(f"{name} ({what})" for name, what in list(file_differences(files, content[1] or {}).items())[:8])
        yield Problem(shown, f"promises model {record['model_digest']}, and the files beside it are {content[0]}: {differing}")
    if entry:
        yield from (Problem(shown, text) for text in _disagreements(record, entry))


def _shown(ancestry: Ancestry, place: Path | None) -> str:
    if place is None:
        return ""
    return place.relative_to(ancestry.contents.root).as_posix() if place.is_relative_to(ancestry.contents.root) else str(place)


def _disagreements(record: Mapping[str, Any], entry: Any) -> Iterator[str]:
    """What lineage.json says otherwise than the recorded run."""
    if record.get("stage") != entry.stage:
        yield f"says stage {record.get('stage')}, the record ({entry.state}) says {entry.stage}"
    for title, said, known in (
        ("input", record.get("inputs") or {}, entry.inputs),
        ("parameter", flatten(record.get("params") or {}), flatten(dict(entry.params))),
        ("code", record.get("code") or {}, entry.code),
    ):
        for key in sorted({*said, *known}):
            if said.get(key) != known.get(key):
                yield f"says {title} {key} {said.get(key)}, the record of the run ({entry.state}) says {known.get(key)}; one was edited"


def _registry(ancestry: Ancestry) -> Iterator[Problem]:
    """Every version that the registry ties to this run or to these bytes must promise these bytes."""
    rows = _versions(ancestry)
    record, expected = ancestry.subject.recorded, ancestry.expected
    run = (record.get("run") or {}).get("flow_run")
    for row in rows:
        name = f"{row['name']}:{row['version']}"
        same_run = run and row["tags"].get("whetstone.run") == run and row["tags"].get("stage.key") == record.get("key")
        if same_run and row["digest"] != expected:
            yield Problem(name, f"the registry says that run {run} made {row['digest']}, the checkpoint's record says {expected}")
        if row["digest"] == expected and not row["source"].startswith(f"dvc://{row['digest']}/"):
            yield Problem(name, f"the registry disagrees with itself: source {row['source']}, tag dvc.md5 {row['digest']}")
    content = ancestry.content
    known = {row["digest"] for row in rows}
    if rows and content and content[0] not in known and ancestry.subject.kind == CHECKPOINT:
        newest = rows[-1]
        yield Problem(
            _shown(ancestry, ancestry.subject.place),
            f"the registry knows no version of {newest['name']} with these bytes ({content[0]}); its newest is {newest['version']} with "
            f"{newest['digest']}. Restore the files with `dvc checkout`, or register them with `whetstone run`",
        )


def _versions(ancestry: Ancestry) -> list[dict[str, Any]]:
    """The registry's versions of this model; empty when there is no registry to disagree (MLflow is loaded only for an existing one)."""
    from tasks.tracking import Tracking, model_name

    path = ancestry.path or ancestry.subject.path
    if not path or not path.endswith("/model"):
        return []
    tracking = Tracking(ancestry.contents.root)
    return (tracking.versions(model_name(path)) or []) if tracking.store.exists else []
