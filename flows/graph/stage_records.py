"""Records of one stage run, from whichever file holds them, and the comparison of two such records.

dvc.lock can be edited, or merged from two branches into a run that never took place. So its entries are
compared with two other records: DVC's run cache, whose files are named by the hash of their content, and the
lineage.json beside a model, whose digest is in dvc.lock itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tasks.checkpoint_lineage import NAME
from tasks.content import dvc_object, file_digest

WORKTREE, RUN_CACHE = "worktree", "run cache"
CODE_LOCK, PARAMS = "code.lock.json", "params.yaml"
# of the manifests of what came from outside; a stage's entry in CODE_LOCK holds the digests of its own
SOURCES = "sources"
_UNHASHED = ("size", "nfiles")  # DVC leaves these out of a run-cache entry's name


@dataclass(frozen=True)
class Entry:
    """One recorded run of a stage. `state`: the commit whose dvc.lock holds it, `worktree` or `run cache`.
    `row`: the entry as read from the file.
    """

    stage: str
    state: str
    command: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    outs: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
    row: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for two records of one run."""
        return self.stage, tuple(sorted(self.inputs.items())), tuple(sorted(self.outs.items()))


class BrokenRecord(RuntimeError):
    """dvc.lock, or a file that says where records are, cannot be read."""


def mapping(value: Any) -> Mapping[str, Any]:
    """Returns `value` where it is a mapping, else an empty one: a damaged record may hold anything."""
    return value if isinstance(value, Mapping) else {}


def read_entry(stage: str, row: Mapping[str, Any], state: str) -> Entry:
    """Returns an entry of dvc.lock or of the run cache as an Entry; the run cache holds the same fields but
    no name.
    """
    params = dict(row.get("params") or {})
    keyed = mapping(params.pop(CODE_LOCK, {}))
    name = stage or next(iter(keyed), "")
    reached = mapping(next(iter(keyed.values()), {}))
    values = dict(mapping(reached.get("settings"))) | dict(params.pop(PARAMS, {}))
    for other, section in params.items():
        values |= {f"{other}:{key}": value for key, value in section.items()}
    command = row.get("cmd") or ""
    return Entry(
        stage=name,
        state=state,
        command=command if isinstance(command, str) else "\n".join(command),
        inputs=_digests(row.get("deps"))
        | {f"{SOURCES}/{source}.json": md5 for source, md5 in mapping(reached.get("sources")).items()},
        outs=_digests(row.get("outs")),
        params=values,
        code=dict(mapping(reached.get("modules"))),
        environment=dict(mapping(reached.get("environment"))),
        python=str(reached.get("python", "")),
        row=row,
    )


def _digests(rows: Any) -> dict[str, str]:
    """Returns {path: digest}. A path may occur twice (a model assessed against itself); where its digests
    differ, both are given.
    """
    digests: dict[str, str] = {}
    for row in rows or []:
        digest = row.get("md5", "")
        before = digests.get(row["path"], digest)
        digests[row["path"]] = digest if digest == before else f"{before} and {digest}"
    return digests


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Returns nested mappings as {dotted key: value}; an empty mapping below the top is a value."""
    if not isinstance(value, Mapping) or (prefix and not value):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat.update(flatten(item, f"{prefix}.{key}" if prefix else str(key)))
    return flat


# -- two records of one run ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """`record` holds `said` for the `title` (parameter, input, code, …) named `key`; the entry that it was
    compared with holds `known`.
    """

    record: str
    title: str
    key: str
    said: Any
    known: Any

    def text(self, known_by: str = "dvc.lock") -> str:
        subject = f"{self.title} {self.key}".rstrip()
        return f"{self.record} says {subject} {_shown(self.said)}, {known_by} says {_shown(self.known)}"


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _compared(
    record: str, pairs: Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]
) -> list[Difference]:
    return [
        Difference(record, title, key, values.get(key), known.get(key))
        for title, values, known in pairs
        for key in sorted({*values, *known})
        if values.get(key) != known.get(key) or (key in values) != (key in known)
    ]


def entry_differences(entry: Entry, known: Entry, record: str = RUN_CACHE) -> list[Difference]:
    """Returns the differences of a run-cache entry from another entry, those of outputs last."""

    def pairs() -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
        yield "command", {"": entry.command}, {"": known.command}
        yield "parameter", flatten(entry.params), flatten(known.params)
        yield "input", entry.inputs, known.inputs
        yield "code", entry.code, known.code
        yield (
            "environment",
            {**entry.environment, "python": entry.python},
            {**known.environment, "python": known.python},
        )
        yield "output", entry.outs, known.outs

    return _compared(record, pairs())


def lineage_differences(record: Mapping[str, Any], entry: Entry, name: str = NAME) -> list[Difference]:
    """Returns the differences of a lineage.json from the recorded run. Fields that older records do not have
    are not compared.
    """
    keyed = mapping(mapping(record.get("environment")).get("keyed"))
    known = {**entry.environment, "python": entry.python}
    models = {path: digest for path, digest in entry.outs.items() if path.endswith("/model")}
    others = mapping(record.get("outs"))

    def pairs() -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
        yield "stage", {"": record.get("stage")}, {"": entry.stage}
        if record.get("command"):
            yield "command", {"": record.get("command")}, {"": entry.command}
        yield "parameter", flatten(mapping(record.get("params"))), flatten(dict(entry.params))
        yield "input", mapping(record.get("inputs")), entry.inputs
        yield "code", mapping(record.get("code")), entry.code
        yield "environment", {"python": "", **keyed}, known
        yield "model", dict.fromkeys(models, record.get("model_digest")), models
        yield "output", others, {path: entry.outs.get(path) for path in others}

    return _compared(name, pairs())


# -- DVC's run cache -----------------------------------------------------------------------------------------


def run_cache_name(row: Mapping[str, Any]) -> tuple[str, str]:
    """Returns (key, value) of a run: DVC stores its entry as runs/<key[:2]>/<key>/<value>. `row`: an entry of
    dvc.lock or of the run cache.
    """
    listed = {
        name: sorted(row[name], key=lambda item: item["path"]) for name in ("deps", "outs") if row.get(name)
    }
    body = {name: row[name] for name in ("cmd", "params") if row.get(name)} | listed
    keyed = {**body, "outs": [out["path"] for out in body.get("outs", [])]}
    return _hash(keyed), _hash(body)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(_without(value), sort_keys=True).encode()).hexdigest()


def _without(value: Any) -> Any:
    if isinstance(value, list):
        return [_without(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _without(item) for key, item in value.items() if key not in _UNHASHED}
    return value


def load_yaml(text: str | bytes) -> Any:
    """Returns the values of YAML 1.2 as DVC writes it: `1e-08` is a number and `off` is text, while PyYAML
    reads both the other way round.
    """
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(text)


class RunCache:
    """The run cache below DVC's cache folder. An entry counts only if its name is the hash of its content."""

    def __init__(self, cache: Path):
        self.folder = cache / "runs"
        self._rows: dict[Path, Mapping[str, Any] | None] = {}

    def place(self, key: str, value: str) -> Path:
        return self.folder / key[:2] / key / value

    def of(self, row: Mapping[str, Any]) -> Path:
        """Returns the path of the entry for exactly this run, whether it exists or not."""
        return self.place(*run_cache_name(row))

    def read(self, path: Path) -> Mapping[str, Any] | None:
        """Returns the entry, or None when it cannot be read or its content does not match its name
        (truncated, zeroed, edited).
        """
        if path not in self._rows:
            self._rows[path] = self._read(path)
        return self._rows[path]

    @staticmethod
    def _read(path: Path) -> Mapping[str, Any] | None:
        try:
            row = load_yaml(path.read_bytes())
            good = run_cache_name(row) == (path.parent.name, path.name)
        except Exception:  # noqa: BLE001  ruamel, the decoder and wrong types each raise their own; all mean that it is no entry
            return None
        return row if good else None

    @cached_property
    def texts(self) -> dict[Path, bytes]:
        """All files by path, newest first."""
        paths = [
            path for path in self.folder.glob("*/*/*") if path.is_file() and not path.name.endswith(".tmp")
        ]
        return {
            path: path.read_bytes()
            for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)
        }

    def with_output(self, digest: str) -> Iterator[Mapping[str, Any]]:
        """Yields the entries with an output of this digest, newest first."""
        needle = digest.encode()
        for path, text in self.texts.items():
            row = self.read(path) if needle in text else None
            if row and digest in _digests(row.get("outs")).values():
                yield row

    def newest(self, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yields (value, entry) of the intact entries under a key, newest first."""
        for path in sorted(self._under(key), key=lambda path: path.stat().st_mtime_ns, reverse=True):
            row = self.read(path)
            if row:
                yield path.name, row

    def damaged(self, key: str) -> list[Path]:
        """Returns the files under a key that are not intact entries."""
        return [
            path
            for path in sorted(self._under(key))
            if not path.name.endswith(".tmp") and not self.read(path)
        ]

    def _under(self, key: str) -> list[Path]:
        folder = self.folder / key[:2] / key
        return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


# -- the judgement -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RecordJudgement:
    """`witnesses`: records that agree. `differences`: how other records differ. Neither: there is no other
    record.
    """

    witnesses: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()


class Witnesses:
    """The other records of a project's runs. Each is read at most once per instance."""

    def __init__(self, root: Path, cache: Path):
        self.root, self.cache = root, cache
        self.run_cache = RunCache(cache)

    def lineage(self, entry: Entry) -> Mapping[str, Any] | None:
        """Returns the lineage.json that the entry records, from wherever its exact bytes are; None when they
        are not at hand.
        """
        for path, digest in entry.outs.items():
            if path.endswith(f"/{NAME}"):
                for candidate in (self.root / path, dvc_object(self.cache, digest)):
                    try:
                        if file_digest(candidate) == digest:
                            return mapping(json.loads(candidate.read_bytes()))
                    except (OSError, ValueError):
                        continue
        return None

    def judge(self, entry: Entry) -> RecordJudgement:
        """Compare an entry of dvc.lock, present or past, with the other records of its run."""
        record = self.lineage(entry)
        differences = lineage_differences(record, entry, f"its {NAME}") if record is not None else []
        witnesses = [NAME] if record is not None and not differences else []
        path = self.run_cache.of(entry.row)
        if path.is_file():
            return RecordJudgement((*witnesses, RUN_CACHE), tuple(differences))
        candidates = list(self._run_cache_differences(entry, bool(witnesses)))
        if candidates == [[]]:
            return RecordJudgement((*witnesses, RUN_CACHE), tuple(differences))
        shortest = min(candidates, key=len, default=[])
        return RecordJudgement(tuple(witnesses), (*differences, *shortest))

    def _run_cache_differences(self, entry: Entry, witnessed: bool) -> Iterator[list[Difference]]:
        """Yields the differences of each run-cache entry with the same outputs or the same inputs; one empty
        list where an entry agrees.
        """
        differences = []
        digest = next(iter(entry.outs.values()), "")
        for row in self.run_cache.with_output(digest):
            other = read_entry(entry.stage, row, RUN_CACHE)
            if other.outs == entry.outs:
                differences.append(entry_differences(other, entry, "the run cache"))
        # two runs with the same inputs may differ on a GPU: then the lineage.json among the outputs decides
        if not witnessed:
            for _, row in self.run_cache.newest(run_cache_name(entry.row)[0]):
                differences.append(
                    entry_differences(read_entry(entry.stage, row, RUN_CACHE), entry, "the run cache")
                )
        yield from [[]] if [] in differences else differences
