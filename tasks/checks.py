"""Checks of a stage's settings against other sections of params.yaml. They run before anything is computed.

That a reference names what a stage makes, and of the right kind, follows from dvc.yaml. A stage NAME whose
settings must agree on more has a module `tasks/NAME_check.py` with

    def check(settings: Record, file: File) -> Iterator[Problem]

which is asked for every member of the section (run, set, board) that is right by itself, and is no part of
the stage's code: a changed check makes nothing stale.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from pipelines.corpora.corpus_params import CorpusParams
from pipelines.corpora.raw.roles import missing_role_message, possible_files, roles_of
from pipelines.settings import RULE

Problem = tuple[str, str]  # key below the member, what is wrong with it
SHOWN = 8  # files of a folder


class File(Protocol):
    """The other sections of params.yaml, each member laid over what it shares."""

    def names(self, *path: str) -> list[str]:
        """Returns the keys of the mapping at a path; empty where there is none."""

    def find(self, *path: str) -> Any:
        """Returns the typed record of the member at a path; None where there is none, or it is invalid by
        itself.
        """


def nearest(value: object, known: Iterable[str]) -> str:
    """Returns `nearest: sft`, or a list of all known names."""
    known = list(known)
    close = difflib.get_close_matches(str(value), known, n=1, cutoff=0.5)
    return f"nearest: {close[0]}" if close else f"known: {', '.join(known) or 'none'}"


def one_of(key: str, value: str, known: list[str], noun: str) -> Iterator[Problem]:
    """Yields a problem where the value is not among the known ones."""
    if value not in known:
        yield key, f"no {noun} is called {value!r}; {nearest(value, known)}"


def has_validation(every: int, data: str, file: File) -> Iterator[Problem]:
    """Yields a problem where validation is switched on and the corpus cannot have validation rows."""
    if every:
        for _, text in has_rows("validation", data, file):
            yield "validation_every", f"{text}; or set validation_every: 0"


def has_rows(name: str, data: str, file: File) -> Iterator[Problem]:
    """Yields a problem where the corpus cannot have rows in a file that the stage reads: `sft`, `rl`,
    `validation` or `heldout`.
    """
    corpus = file.find("corpus", data)
    if not isinstance(corpus, CorpusParams) or corpus.exams is not None:
        return
    sources = {source: params.model_dump() for source, params in corpus.sources.items()}
    if name not in possible_files(sources, corpus.validation_share, corpus.heldout_share):
        roles = frozenset[str]().union(*(roles_of(source) for source in sources.values()))
        yield "data", f"{missing_role_message(name, roles)} in corpus.{data}.sources"


def missing_files(setting: str, key: str, raw: Path, source: Any) -> Iterator[Problem]:
    """Yields a problem for every file that a source names and that is not below `raw`, which `setting` names;
    `key`: where the source stands. What is not there at all, which DVC or a stage may bring, is told by the
    plan.
    """
    if not raw.exists():
        return
    for where, path in _named_files(source):
        if (raw / path).exists() or (raw.is_file() and raw.name == path):
            continue
        if raw.is_file():
            yield (
                setting,
                f"{raw} is a file, and {key}.{where} names {path}: write {setting}: {raw.parent}, the "
                f"folder, or name {raw.name} there",
            )
        else:
            present = sorted(item.name for item in raw.iterdir() if not item.name.startswith("."))
            more = ", …" if len(present) > SHOWN else ""
            held = ", ".join(present[:SHOWN]) + more or "nothing"
            yield f"{key}.{where}", f"{raw / path} is missing; {raw} holds {held}"


def _named_files(source: Any) -> Iterator[tuple[str, str]]:
    """Yields (key below the source, path) of every file that it names below its folder; a data set from
    outside holds its own.
    """
    outside = getattr(source, "id", None) is not None
    for field in () if outside else ("splits", "files"):
        files = getattr(source, field, None)
        for role, paths in files.items() if isinstance(files, Mapping) else ():
            for path in [paths] if isinstance(paths, str) else paths:
                yield f"{field}.{role}", path
    for field in ("file",) if outside else ("file", "problems"):
        if isinstance(path := getattr(source, field, None), str):
            yield field, path


def same_checker(key: str, checker: str, data: str, file: File, also: str = "") -> Iterator[Problem]:
    """Yields a problem where the settings and their data name different exact checkers, which the stage would
    only find once it runs.
    """
    questions = file.find("corpus", data)
    if questions is not None and checker in RULE and checker != questions.reward:
        yield key, f"is {checker}, and corpus.{data}.reward is {questions.reward}: make them equal{also}"
