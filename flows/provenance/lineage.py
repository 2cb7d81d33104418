"""The whole ancestry of a checkpoint, from its bytes to the raw data files, with every file whose bytes no
longer match.

The walk follows content, not names: the digest of the bytes finds the record of the stage run that made them,
that record names the digests of its inputs, and so on. So it works on a copied folder, after the workspace
has changed, and on a tampered file: there the walk starts from the digest in the checkpoint's own
lineage.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.graph import families
from flows.provenance import outside
from flows.provenance.content import CHANGED, GOOD, MISSING, Contents, ContentState
from flows.provenance.findings import Findings, word, worse
from flows.provenance.history import RUN_CACHE, WORKTREE, Entry, History
from flows.provenance.subject import VERSION, UnknownSubject, locate, read_record
from tasks.checkpoint_lineage import NAME

__all__ = ["Ancestry", "UnknownSubject", "lineage", "render_tree", "run_settings"]


def lineage(root: str | Path, subject: str, contents: Contents | None = None) -> dict[str, Any]:
    """Returns everything that is known about the origin of `subject` (a path, or NAME[:VERSION|@alias] of the
    registry). `contents`: shared by questions that are asked at the same moment, so that no byte is read
    twice.

    {"subject": {"path", "digest", "kind"}, "nodes": [{"id", "stage", "key", "outs", "inputs", "params",
    "code", "environment", "git", "run", "metrics", "status", …}], "edges": [[from id, to id, path]], "raw":
    [{"path", "digest", "status"}], "problems": [{"path", "problem"}], "unverified": [{"stage",
    "recorded_in"}]}; nodes come in order, upstream first. A status is verified, modified, missing or
    recorded; unverified are runs of which dvc.lock alone tells. Raises UnknownSubject; BrokenRecord when
    dvc.lock cannot be read.
    """
    return Ancestry(root, subject, contents).as_json()


class Ancestry:
    """One walk through an ancestry. `subject`, `entry` (the record of the run that made it, or None) and
    `contents` are used by the audit as well.
    """

    def __init__(self, root: str | Path, subject: str, contents: Contents | None = None):
        self.contents = contents or Contents(root)
        self.history = History(self.contents.root, self.contents.cache)
        self.findings = Findings(self.contents)
        self.entries: list[Entry] = []
        self._nodes: dict[Any, dict[str, Any]] = {}
        self._edges: list[list[str]] = []
        self._raw: dict[str, dict[str, str]] = {}
        self.subject = locate(self.contents, self.history, subject)
        self.content = self.subject.content(self.contents)
        if put_aside := self.subject.recorded.get("aside"):
            self.findings.say(
                self._shown(), f"it was kept aside and never counts as fresh: {put_aside.get('why')}"
            )
        self.entry, self.path = self._find_entry()
        if self.entry is None:
            self.findings.say(self._shown(), self._unknown())
        else:
            self._add(self.entry, {self.path})

    @property
    def expected(self) -> str | None:
        """The digest that the subject should have according to its record, the registry, or its own
        lineage.json.
        """
        if self.subject.digest:
            return self.subject.digest
        if self.entry and self.path in self.entry.outs:
            return self.entry.outs[self.path]
        return self.subject.recorded.get("model_digest")

    def as_json(self) -> dict[str, Any]:
        subject = {
            "path": self._shown(),
            "digest": self.expected or (self.content and self.content[0]),
            "kind": self.subject.kind,
        }
        if self.subject.version:
            subject |= {"name": self.subject.version["name"], "version": self.subject.version["version"]}
        raw = [self._raw[path] for path in sorted(self._raw)]
        return {
            "subject": subject,
            "nodes": list(self._nodes.values()),
            "edges": self._edges,
            "raw": raw,
            "problems": self.findings.problems,
            "unverified": self.findings.unverified,
        }

    # -- where the walk starts -------------------------------------------------------------------------------

    def _shown(self) -> str:
        return self.subject.path or str(self.subject.place)

    def shown(self, place: Path | None) -> str:
        """Returns a path as text: relative to the project where it lies inside."""
        root = self.contents.root
        return (
            ""
            if place is None
            else place.relative_to(root).as_posix()
            if place.is_relative_to(root)
            else str(place)
        )

    def _unknown(self) -> str:
        content = self.subject.digest or (self.content[0] if self.content else "nothing")
        return (
            f"unknown content ({content}): no stage run that dvc.lock, its history or the run cache records "
            f"made these bytes, "
            "and no lineage.json lies beside them"
        )

    def _find_entry(self) -> tuple[Entry | None, str]:
        """Returns the record of the run that made the subject, and the subject's path in that record."""
        subject, content = self.subject, self.content
        promised = (
            [subject.digest]
            if subject.kind == VERSION
            else [content and content[0], subject.recorded.get("model_digest")]
        )
        if subject.record:  # a lineage.json differs from run to run, so its digest names the very run
            record = self.contents.at(subject.record)
            for entry in self.history.producers(record[0]) if record else []:
                out = next(path for path, digest in entry.outs.items() if record and digest == record[0])
                model = f"{out.rpartition('/')[0]}/model"
                if model in entry.outs and (subject.kind != VERSION or entry.outs[model] == subject.digest):
                    return entry, model
        for digest in filter(None, promised):
            entries = self.history.producers(digest)
            matching = [entry for entry in entries if subject.path in entry.outs]
            for entry in matching or entries:
                return entry, next(path for path, recorded in entry.outs.items() if recorded == digest)
        if subject.kind == VERSION:
            return None, ""
        if subject.path and (current := self.history.current(subject.path)):
            return current[0], subject.path
        if subject.recorded.get("stage") and subject.recorded.get("model_digest"):
            self.findings.say(
                self._shown(),
                "no record of its run is left in dvc.lock, its history or the run cache; only its own "
                "lineage.json tells",
            )
            return _from_record(subject.recorded, subject.path or "model"), subject.path or "model"
        return None, ""

    # -- the walk --------------------------------------------------------------------------------------------

    def _add(self, entry: Entry, needed: set[str]) -> str:
        """Add the run and its ancestors. Returns its id. `needed`: the outputs by which the walk reached
        it.
        """
        if entry.identity in self._nodes:
            node = self._nodes[entry.identity]
            self._check_outs(entry, node, needed)
            return str(node["id"])
        count = sum(node["stage"] == entry.stage for node in self._nodes.values())
        name = entry.stage if not count else f"{entry.stage}#{count + 1}"
        edges = []
        if outside.NONE in entry.inputs:
            self._add_outside(entry)
        for path, digest in entry.inputs.items():
            if path.startswith(families.CONSTANTS):
                self.findings.report(path, digest, self.contents.verdict(path, digest, belongs=True))
                continue
            if path == outside.NONE:
                continue
            for producer, output in self._producers(path, digest, entry):
                edges.append([self._add(producer, {output}), name, path])
        node = self._node(entry, name)
        self._nodes[entry.identity] = node
        self._check_outs(entry, node, needed)
        self._edges += edges
        return name

    def _producers(self, path: str, digest: str, consumer: Entry) -> list[tuple[Entry, str]]:
        """Returns the runs that made an input, each with the output in question; raw data and missing
        ancestors are noted instead.
        """
        for entry in self.history.producers(digest, consumer.state):
            output = (
                path
                if entry.outs.get(path) == digest
                else next(out for out, recorded in entry.outs.items() if recorded == digest)
            )
            return [(entry, output)]
        below = self._outputs_below(path, consumer)
        if below:
            return below
        if self.history.is_made(path, consumer.state):
            self.findings.say(
                path,
                f"its ancestor is missing: {consumer.stage} read {digest}, and no recorded stage run made "
                f"that",
            )
        else:
            self._add_raw(path, digest, consumer)
        return []

    def _outputs_below(self, folder: str, consumer: Entry) -> list[tuple[Entry, str]]:
        """Returns the outputs below a folder that is read as a whole (`metrics`), from the same dvc.lock as
        the reader's entry.
        """
        if consumer.state == RUN_CACHE:
            return []
        entries = self.history.lock(consumer.state).values()
        return [
            (entry, out)
            for entry in entries
            for out in entry.outs
            if out.startswith(folder.rstrip("/") + "/")
        ]

    def _add_raw(self, path: str, digest: str, consumer: Entry) -> None:
        """Note raw data, file by file where their listing is known."""
        expected = {entry.inputs[path] for entry in self.history.lock().values() if path in entry.inputs}
        finding = self.contents.verdict(path, digest, belongs=digest in expected or not expected)
        self.findings.check_links(path)
        self.findings.report(path, digest, finding)
        self.contents.remember(path, digest)
        files = self.contents.files(digest, path)
        content = self.contents.at(path)
        if files is None and content and content[0] == digest:
            files = content[1]
        for name, md5 in (
            {path: digest} if files is None else {f"{path}/{name}": md5 for name, md5 in files.items()}
        ).items():
            change = finding.files.get(name.removeprefix(f"{path}/"))
            state = finding.status if files is None or finding.status == MISSING else change or GOOD
            status = "verified" if state is GOOD else word(str(state))
            self._raw[name] = {"path": name, "digest": md5, "status": status, "read_by": consumer.stage}

    def _add_outside(self, entry: Entry) -> None:
        """Note the files of a source that are in the hub's cache or an installed package."""
        for out in entry.outs:
            recorded = self._verified_json(entry, out)
            for file in outside.files(recorded) if recorded.get("files") else ():
                self._raw[file.path] = {
                    "path": file.path,
                    "digest": file.digest,
                    "status": file.status,
                    "read_by": entry.stage,
                }
                if file.problem:
                    self.findings.say(file.path, file.problem)

    # -- one run ---------------------------------------------------------------------------------------------

    def _place(self, entry: Entry, path: str) -> Path | None:
        """Returns the path of the subject's own bytes, which no other bytes may stand in for; None for other
        paths.
        """
        if entry is not self.entry or self.subject.kind == VERSION:
            return None
        if path == self.path:
            return self.subject.place
        return self.subject.record if path == f"{self.path.rpartition('/')[0]}/{NAME}" else None

    def _finding(self, entry: Entry, path: str) -> ContentState:
        digest = entry.outs[path]
        place = self._place(entry, path)
        if place == self.subject.place and self.subject.flat and self.content:
            changed = self.contents.differences(digest, self.content[1])
            return (
                ContentState("ok", {})
                if self.content[0] == digest
                else ContentState(CHANGED, changed or self._own_differences(digest))
            )
        current = self.history.current(path)
        finding = self.contents.verdict(
            path, digest, belongs=current is None or current[1] == digest, place=place
        )
        if finding.status == CHANGED and not finding.files and place == self.subject.place:
            return ContentState(CHANGED, self._own_differences(digest))
        return finding

    def _own_differences(self, digest: str) -> dict[str, str]:
        """Returns the differences from the file list in lineage.json, which is trusted only if its digest is
        the model's.
        """
        from flows.provenance.content import file_differences
        from tasks.content import folder_digest

        files = self.subject.recorded.get("files") or {}
        if self.content and self.content[1] is not None and files and folder_digest(files) == digest:
            return file_differences(files, self.content[1])
        return {}

    def _check_outs(self, entry: Entry, node: dict[str, Any], needed: set[str]) -> None:
        """Set the status of a run's outputs. A missing output counts only when the walk needs it; a changed
        one always does.
        """
        for path, digest in entry.outs.items():
            finding = node["findings"][path]
            self.findings.check_links(path, self._place(entry, path))
            if finding in GOOD or (finding == MISSING and path not in needed):
                continue
            self.findings.report(
                self._shown() if path == self.path and entry is self.entry else path,
                digest,
                self._finding(entry, path),
            )
            node["status"] = worse(node["status"], word(finding))

    def _node(self, entry: Entry, name: str) -> dict[str, Any]:
        record = self.record(entry)
        keyed = {**entry.environment, **({"python": entry.python} if entry.python else {})}
        findings = {path: self._finding(entry, path).status for path in entry.outs}
        agreed = self._agrees(entry)
        params, code = (
            (entry.params, entry.code) if agreed else (record.get("params", {}), record.get("code", {}))
        )
        return {
            "id": name,
            "stage": entry.stage,
            "key": record.get("key", ""),
            "outs": dict(entry.outs),
            "inputs": dict(entry.inputs),
            "params": dict(params) or record.get("params", {}) or dict(entry.params),
            "code": dict(code) or record.get("code", {}) or dict(entry.code),
            "environment": record.get("environment") or {"keyed": keyed},
            "seed": record.get("seed"),
            "git": record.get("git")
            or {"commit": None if entry.state in (WORKTREE, RUN_CACHE) else entry.state},
            "run": record.get("run", {}),
            "metrics": record.get("metrics") or self._metrics(entry),
            "status": "verified" if agreed else "modified",
            "findings": findings,
            "recorded_in": entry.state,
        }

    def _agrees(self, entry: Entry) -> bool:
        """Returns whether no other record of the run contradicts the entry. A run without another record is
        noted as unverified.
        """
        if not entry.row:
            return True
        self.entries.append(entry)
        current = self.history.lock().get(entry.stage)
        verdicts = [
            self.findings.agrees(row, self.history.witnesses.judge(row))
            for row in ([entry] if current in (None, entry) else [entry, current])
        ]
        return all(verdicts)

    def record(self, entry: Entry) -> Mapping[str, Any]:
        """Returns the run's lineage.json: the recorded bytes where they can be found, else the subject's own
        file, edited or not.
        """
        out = next((path for path in entry.outs if path.endswith(f"/{NAME}")), None)
        if out is None:
            return self.subject.recorded if entry is self.entry else {}
        return self._verified_json(entry, out) or (self.subject.recorded if entry is self.entry else {})

    def _metrics(self, entry: Entry) -> Mapping[str, Any]:
        out = next(
            (path for path in entry.outs if path.startswith("metrics/") and path.endswith(".json")), None
        )
        return self._verified_json(entry, out) if out else {}

    def _verified_json(self, entry: Entry, out: str) -> Mapping[str, Any]:
        """Returns the content of a JSON output whose bytes match the record; empty when there are none."""
        digest = entry.outs[out]
        for candidate in (self._place(entry, out), self.contents.root / out, self.contents.object(digest)):
            content = self.contents.at(candidate) if candidate else None
            if content and content[0] == digest:
                return read_record(candidate)
        return {}


def _from_record(record: Mapping[str, Any], path: str) -> Entry:
    """Returns a lineage.json as the record of its run, for when no other record is left."""
    keyed = dict((record.get("environment") or {}).get("keyed") or {})
    return Entry(
        stage=record["stage"],
        state=WORKTREE,
        inputs=dict(record.get("inputs") or {}),
        outs={path: record["model_digest"]},
        params=dict(record.get("params") or {}),
        code=dict(record.get("code") or {}),
        python=keyed.pop("python", ""),
        environment=keyed,
    )


def run_settings(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the settings of the run that a node of a lineage is: those of `SECTION.runs.NAME`."""
    runs = (value for key, value in node["params"].items() if ".runs." in key and isinstance(value, Mapping))
    return next(runs, {})


def render_tree(ancestry: Mapping[str, Any]) -> Any:
    """Returns the ancestry as a rich Tree for the terminal (see `flows.provenance.lineage_tree`)."""
    from flows.provenance.lineage_tree import tree

    return tree(ancestry)
