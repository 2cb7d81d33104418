"""Which recorded stage run made given bytes, according to dvc.lock, to its versions in commits and snapshots,
and to DVC's run cache.

Commits are found by content (`git log --all -S<digest> -- dvc.lock`), so that no index has to be kept;
refs/pipeline/* are among them. The run cache (.dvc/cache/runs) records every run, also those that never
reached a commit.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml.error import YAMLError

from flows.graph.stage_records import (
    RUN_CACHE,
    WORKTREE,
    BrokenRecord,
    Entry,
    Witnesses,
    load_yaml,
    mapping,
    read_entry,
)
from flows.provenance.snapshot import NoGit, git


@lru_cache(maxsize=8)
def _parse(text: str, state: str) -> dict[str, Entry]:
    rows = (load_yaml(text) or {}).get("stages") or {}
    return {name: read_entry(name, row, state) for name, row in rows.items()}


class History:
    """All records of one project, read on demand. `cache`: DVC's cache folder."""

    def __init__(self, root: Path, cache: Path):
        self.root = root
        self.cache = cache
        self._locks: dict[str, dict[str, Entry]] = {}
        self._producers: dict[str, list[Entry]] = {}
        self.witnesses = Witnesses(root, cache)

    def lock(self, state: str = WORKTREE) -> dict[str, Entry]:
        """Returns {stage: entry} of the dvc.lock of a commit or of the worktree. Raises BrokenRecord when it
        cannot be parsed.
        """
        if state not in self._locks:
            self._locks[state] = self._read_worktree() if state == WORKTREE else self._read_commit(state)
        return self._locks[state]

    def _read_worktree(self, attempts: int = 4) -> dict[str, Entry]:
        """Returns the entries of the present dvc.lock. DVC writes it in place, so a damaged file is read
        again before it counts as broken.
        """
        path = self.root / "dvc.lock"
        for attempt in range(attempts):
            try:
                return _parse(path.read_text("utf-8"), WORKTREE) if path.exists() else {}
            except (YAMLError, UnicodeDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
                if attempt + 1 == attempts:
                    raise BrokenRecord(
                        f"{path} cannot be read ({' '.join(str(error).split())[:200]}); delete it and run "
                        f"`whetstone run`: "
                        "what the run cache holds is restored without computing"
                    ) from None
                time.sleep(0.1)
        return {}

    def _read_commit(self, commit: str) -> dict[str, Entry]:
        try:
            return _parse(git(self.root, "show", f"{commit}:./dvc.lock"), commit)
        except subprocess.CalledProcessError:
            return {}  # the commit that deleted dvc.lock touches its digests too
        except (YAMLError, AttributeError, KeyError, TypeError):
            return {}  # someone committed a broken one; the other records still count

    def current(self, path: str) -> tuple[Entry, str] | None:
        """Returns the entry of the present dvc.lock with the output `path`, and the digest that it records;
        None without one.
        """
        for entry in self.lock().values():
            if path in entry.outs:
                return entry, entry.outs[path]
        return None

    def producers(self, digest: str, prefer: str | None = None) -> list[Entry]:
        """Returns the records with an output of this digest: of the state `prefer` first, then worktree,
        commits (newest first), run cache.
        """
        for state in dict.fromkeys([prefer or WORKTREE, WORKTREE]):
            if state == RUN_CACHE:
                continue
            entries = [entry for entry in self.lock(state).values() if digest in entry.outs.values()]
            if entries:
                return entries
        if digest not in self._producers:
            self._producers[digest] = list(self._search(digest))
        return self._producers[digest]

    def _search(self, digest: str) -> Iterator[Entry]:
        for commit in self.commits_with(digest):
            yield from (entry for entry in self.lock(commit).values() if digest in entry.outs.values())
        for row in self.witnesses.run_cache.with_output(digest):
            entry = read_entry("", row, RUN_CACHE)
            yield entry if entry.stage else _with_name(entry, self._name_of(entry))

    def commits_with(self, digest: str) -> list[str]:
        """Returns the commits whose dvc.lock contains the digest, newest first."""
        try:
            touched = git(self.root, "log", "--all", "--format=%H", f"-S{digest}", "--", "dvc.lock").split()
        except (NoGit, subprocess.CalledProcessError):
            return []
        return [
            commit
            for commit in touched
            if any(digest in entry.outs.values() for entry in self.lock(commit).values())
        ]

    def _name_of(self, entry: Entry) -> str:
        """Returns the stage that makes the entry's paths today, else the last word of its command: the run
        cache stores no stage names.
        """
        for name, known_entry in self.lock().items():
            if set(known_entry.outs) & set(entry.outs):
                return name
        return (entry.command.split() or ["?"])[-1]

    @cached_property
    def made_paths(self) -> frozenset[str]:
        """Every path that a stage makes, by the present dvc.lock; what is none of these and has no record is
        raw data.
        """
        return frozenset(path for entry in self.lock().values() for path in entry.outs)

    def is_made(self, path: str, state: str) -> bool:
        """Returns whether a stage makes `path`, according to the present dvc.lock, that of the state, and the
        output patterns of dvc.yaml.
        """
        if path in self.made_paths:
            return True
        if state not in (WORKTREE, RUN_CACHE) and any(
            path in entry.outs for entry in self.lock(state).values()
        ):
            return True
        return any(pattern.fullmatch(path) for pattern in self._declared)

    @cached_property
    def _declared(self) -> list[Any]:
        """The output paths that dvc.yaml declares, as patterns; `${…}` matches any one name."""
        return declared_outputs(self.root / "dvc.yaml")


def _with_name(entry: Entry, name: str) -> Entry:
    return Entry(**{**entry.__dict__, "stage": name})


def declared_outputs(path: Path) -> list[Any]:
    """Returns the output paths of a dvc.yaml as regular expressions; empty when the file is missing or broken
    (DVC reports that itself).
    """
    try:
        stages = (load_yaml(path.read_text("utf-8")) or {}).get("stages") or {}
    except (OSError, YAMLError, AttributeError, UnicodeDecodeError):
        return []
    patterns = []
    for stage in mapping(stages).values():
        body = stage.get("do", stage)
        for out in (body.get("outs") or []) + (body.get("metrics") or []) + (body.get("plots") or []):
            name = out if isinstance(out, str) else next(iter(out))
            parts = re.split(r"\$\{[^}]*\}", name)
            patterns.append(re.compile("[^/]+".join(map(re.escape, parts))))
    return patterns
