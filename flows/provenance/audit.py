"""Verification of a checkpoint: its bytes, the bytes of its inputs up to the raw data, its own lineage.json
and its registry entry must all agree.

No database is trusted: every file is read. Whatever `lineage` flags is a problem here too; the audit adds the
contradictions between records.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from flows.graph.stage_records import lineage_differences
from flows.provenance.content import GOOD, file_differences
from flows.provenance.lineage import Ancestry
from flows.provenance.registry import disagreements
from flows.provenance.subject import CHECKPOINT, VERSION
from tasks.checkpoint_lineage import NAME
from tasks.content import folder_digest


@dataclass(frozen=True)
class AuditProblem:
    """One failed verification. `path`: the file or folder; `problem`: what is wrong with it and what to
    do.
    """

    path: str
    problem: str

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def audit(root: str | Path, subject: str) -> list[AuditProblem]:
    """Returns everything about `subject` that does not verify (as for `flows.provenance.lineage.lineage`);
    empty when all does.

    Raises UnknownSubject when there is nothing to audit, BrokenRecord when dvc.lock cannot be read.
    """
    return audited(Ancestry(root, subject))


def audited(ancestry: Ancestry) -> list[AuditProblem]:
    """Returns the problems of an ancestry that has been walked already."""
    problems = [AuditProblem(row["path"], row["problem"]) for row in ancestry.findings.problems]
    problems += _bytes(ancestry)
    problems += [*_run_cache(ancestry), *_foreign_bytes(ancestry)]
    if ancestry.subject.kind in (CHECKPOINT, VERSION):
        problems += _own_record(ancestry)
    problems += [AuditProblem(*row) for row in disagreements(ancestry)]
    unique: dict[str, AuditProblem] = {}
    for problem in problems:
        unique.setdefault(f"{problem.path}\0{problem.problem}", problem)
    return list(unique.values())


def _bytes(ancestry: Ancestry) -> Iterator[AuditProblem]:
    """Yields a problem where the bytes of a registered version are neither in its folder nor in the cache."""
    subject = ancestry.subject
    if subject.kind != VERSION or not subject.digest:
        return
    source = subject.version["source"]
    if not source.startswith(f"dvc://{subject.digest}/"):
        yield AuditProblem(
            subject.shown,
            f"the registry disagrees with itself: source {source}, tag dvc.md5 {subject.digest}; register it "
            f"again with a run",
        )
    if ancestry.entry is None:
        stored = ancestry.contents.stored(subject.digest)
        present = ancestry.content and ancestry.content[0] == subject.digest
        if not present and stored.status not in GOOD:
            yield AuditProblem(
                subject.shown,
                f"the bytes of version {subject.version['version']} ({subject.digest}) are {stored.status}",
            )


def _foreign_bytes(ancestry: Ancestry) -> Iterator[AuditProblem]:
    """Yields a problem where the output of another stage stands in this one's place: a copy of a sibling, or
    a link to it.
    """
    path, entry = ancestry.subject.path, ancestry.entry
    current = ancestry.history.current(path) if path else None
    if path and entry and current and path not in entry.outs:
        yield AuditProblem(
            path,
            f"holds {ancestry.path} of {entry.stage}; {current[0].stage} made {current[1]}, which should be "
            f"here",
        )


def _run_cache(ancestry: Ancestry) -> Iterator[AuditProblem]:
    """Yields a problem for each run-cache entry of the ancestry whose name is not the hash of its content."""
    run_cache = ancestry.history.witnesses.run_cache
    for entry in ancestry.entries:
        path = run_cache.of(entry.row)
        if path.is_file() and run_cache.read(path) is None:
            yield AuditProblem(
                ancestry.shown(path),
                f"the run-cache entry of {entry.stage} is not what its name says (cut short or edited); "
                f"remove it",
            )


def _own_record(ancestry: Ancestry) -> Iterator[AuditProblem]:
    """Yields the differences of lineage.json from the files beside it, from itself, and from the record of
    the run.
    """
    subject, entry = ancestry.subject, ancestry.entry
    record = subject.recorded
    shown = ancestry.shown(subject.record)
    if subject.record is None:
        missing = str(Path(ancestry.subject.path or subject.place).parent / NAME)
        if subject.kind == CHECKPOINT:
            yield AuditProblem(
                missing,
                "the checkpoint has no lineage.json beside it; bring it back with `dvc checkout` or from "
                "where it was copied",
            )
        return
    if not record.get("model_digest"):
        yield AuditProblem(
            shown, "cannot be read as a lineage.json (cut short or edited); bring it back with `dvc checkout`"
        )
        return
    files = record.get("files") or {}
    if folder_digest(files) != record["model_digest"]:
        yield AuditProblem(shown, "was edited: its list of files does not give its own model_digest")
    content = ancestry.content
    if content and content[0] != record["model_digest"]:
        differing = ", ".join(
            f"{name} ({change})"
            for name, change in list(file_differences(files, content[1] or {}).items())[:8]
        )
        yield AuditProblem(
            shown,
            f"promises model {record['model_digest']}, and the files beside it are {content[0]}: {differing}",
        )
    if entry:
        for difference in lineage_differences(record, entry, "it"):
            yield AuditProblem(
                shown, f"{difference.text(f'the record of the run ({entry.state})')}; one was edited"
            )


def _shown(ancestry: Ancestry, path: Path | None) -> str:
    if path is None:
        return ""
    return (
        path.relative_to(ancestry.contents.root).as_posix()
        if path.is_relative_to(ancestry.contents.root)
        else str(path)
    )
