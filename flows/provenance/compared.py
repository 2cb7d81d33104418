"""What `whetstone compare` is given, with its results: an evaluation, a model, or the members of one run that
differ in their seed, of this checkout (NAME), of another commit (REV:NAME) or of a recipe
(RECIPE:NAME).

The results of a commit are those that its dvc.lock records; their bytes come from the workspace or DVC's
cache.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.graph import recipe_layers, recipes
from flows.graph.families import families
from flows.graph.recipe_layers import DEFAULT
from flows.graph.stage_records import WORKTREE, Entry, load_yaml, mapping
from flows.provenance.content import CACHED, Contents
from flows.provenance.history import History
from flows.provenance.snapshot import NoGit, git
from flows.provenance.subject import UnknownSubject
from tasks.checks import nearest
from tasks.seed_names import seed_groups

Row = dict[str, Any]
EVERY_SEED = "_s*"  # after a run's name: its seeds, also where a run has just this name
ACCURACY = "accuracy"  # the part of the report of stages that evaluate (`meta: {report: accuracy}`)


@dataclass(frozen=True)
class Member:
    """One evaluated or trained model. `entries`: the recorded runs that led to it, itself first; `samples`,
    `curve`: rows; `evaluation`, `training`: metrics, empty where there are none.
    """

    name: str
    seed: str
    entries: tuple[Entry, ...]
    evaluation: Row = field(default_factory=dict)
    samples: list[Row] = field(default_factory=list)
    training: Row = field(default_factory=dict)
    curve: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class ComparedSide:
    """One side of a comparison, as the user named it; several members where they differ in their seed."""

    shown: str
    commit: str | None
    members: tuple[Member, ...]

    @property
    def sampled(self) -> str:
        """The name under which answers of the first member are shown, which stand for all."""
        return self.shown if len(self.members) == 1 else self.members[0].name


class Results:
    """Reads sides of one project."""

    def __init__(self, root: Path):
        self.contents = Contents(root)
        self.history = History(root, self.contents.cache)
        reporting = [family for family in families(root) if family.meta.get("report") == ACCURACY]
        self._evaluating = tuple(family.name for family in reporting)

    def side(self, text: str) -> ComparedSide:
        """Returns the side that `text` names. Raises UnknownSubject, or FileNotFoundError for results that
        are recorded and gone.
        """
        revision, colon, name = text.rpartition(":")
        state = self._commit(revision) if colon else WORKTREE
        lock = self.history.lock(state)
        if name in (known := dict(self._names(lock))):
            chosen = {"": known[name]}
        else:
            members = seed_groups(known).get(name.removesuffix(EVERY_SEED), {})
            chosen = {seed: known[member] for seed, member in members.items()}
        if not chosen:
            groups = [*known, *seed_groups(known)]
            place = f"the dvc.lock of {revision}" if colon else "dvc.lock"
            raise UnknownSubject(
                f"{text}: {place} records no evaluation or trained model of this name; "
                f"{nearest(name, groups)}"
            )
        read = tuple(self._member(lock, entry, seed) for seed, entry in chosen.items())
        return ComparedSide(text, None if state == WORKTREE else state, read)

    def _commit(self, revision: str) -> str:
        try:
            return git(self.history.root, "rev-parse", "--verify", "-q", f"{revision}^{{commit}}").strip()
        except NoGit as error:
            raise UnknownSubject(f"{revision}: {error}") from None
        except subprocess.CalledProcessError:
            if state := self._recipe(revision):
                return state
            raise UnknownSubject(
                f"{revision}: git knows no such commit; REV:NAME is a commit, branch, tag or recipe "
                f"and an evaluation there, HEAD~1:grpo"
            ) from None

    def _recipe(self, name: str) -> str | None:
        """Returns the state that holds a recipe's results: the worktree where it is the one in use, else the
        newest commit of a branch or tag with it; None for no recipe. Snapshots do not count: they are taken
        before a run, and hold the results of what was in use before.
        """
        root = self.history.root
        if name not in (DEFAULT, *recipe_layers.names(root)):
            return None
        if recipes.active(root) == name:
            return WORKTREE
        for commit in git(root, "log", "--branches", "--tags", "--format=%H", "--", "dvc.lock").split():
            try:
                note = mapping(load_yaml(git(root, "show", f"{commit}:./{recipes.APPLIED}")))
            except subprocess.CalledProcessError:
                note = {}
            if note.get("recipe", DEFAULT) == name:
                return commit
        raise UnknownSubject(
            f"{name}: no branch has a commit with results of this recipe; after its run commit dvc.lock, "
            f"params.yaml and {recipes.APPLIED}"
        )

    def _names(self, lock: dict[str, Entry]) -> Iterator[tuple[str, Entry]]:
        """Yields what may be compared: trained models and, of the same name or another, evaluations. The last
        of a name counts: its evaluation.
        """
        evaluations = [entry for name, entry in lock.items() if name.partition("@")[0] in self._evaluating]
        for entry in lock.values():
            if any(path.startswith("curves/") for path in entry.outs):
                model = entry.stage.partition("@")[2]
                yield model, next((row for row in evaluations if _evaluates(row, model)), entry)
        for entry in evaluations:
            yield entry.stage.partition("@")[2], entry

    def _member(self, lock: dict[str, Entry], entry: Entry, seed: str) -> Member:
        entries = tuple(_ancestry(lock, entry))
        evaluates = entry.stage.partition("@")[0] in self._evaluating
        trained = next((one for one in entries if _out(one, "curves/")), None)
        return Member(
            entry.stage.partition("@")[2],
            seed,
            entries,
            self._read(entry, "metrics/")[0] if evaluates else {},
            self._read(entry, "samples/") if evaluates else [],
            self._read(trained, "metrics/")[0] if trained else {},
            self._read(trained, "curves/") if trained else [],
        )

    def _read(self, entry: Entry, folder: str) -> list[Row]:
        """Returns the rows of the entry's output in a folder (one of a .json file), as recorded."""
        path = _out(entry, folder)
        if path is None:
            return [{}]
        digest, place = entry.outs[path], self.contents.root / path
        content = self.contents.at(path)
        if not content or content[0] != digest:
            if self.contents.stored(digest).status != CACHED:
                raise FileNotFoundError(
                    f"{path} as {entry.stage} made it ({digest}) is neither in the workspace nor in DVC's "
                    f"cache; fetch it with `dvc fetch --all-commits`, or make it again: "
                    f"`whetstone run {entry.stage}`"
                )
            place = self.contents.object(digest)
        text = place.read_text("utf-8")
        if path.endswith(".json"):
            return [json.loads(text)]
        return [json.loads(line) for line in text.split("\n") if line.strip()]


def _out(entry: Entry, folder: str) -> str | None:
    return next((path for path in entry.outs if path.startswith(folder)), None)


def _evaluates(entry: Entry, model: str) -> bool:
    return f"models/{model}/model" in entry.inputs


def _ancestry(lock: dict[str, Entry], entry: Entry) -> Iterator[Entry]:
    """Yields an entry and those of the same lock that made its inputs, the nearest first."""
    makers = {path: maker for maker in lock.values() for path in maker.outs}
    waiting, visited = [entry], {entry.stage}
    while waiting:
        current = waiting.pop(0)
        yield current
        for path in current.inputs:
            maker = makers.get(path)
            if maker and maker.stage not in visited:
                visited.add(maker.stage)
                waiting.append(maker)
