"""Check of a set against the section `exams` and the files that its sources name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.corpora.corpus_params import CorpusParams
from tasks.checks import File, Problem, one_of

FOLDER = "data/exams"  # where the stages exams@… put them
SHOWN = 8


def check(settings: CorpusParams, file: File) -> Iterator[Problem]:
    """Yields a problem for every unknown exam, where the exams are not read from the folder that their stages
    write, and for every file of a source that its folder does not hold.
    """
    for name, source in settings.sources.items():
        yield from _missing_files(Path(settings.raw), name, source)
    if settings.exams is None:
        return
    known = file.names("exams")
    for key, named in (("exams", settings.exams.exams), ("against", settings.exams.against)):
        for exam in dict.fromkeys(named):
            yield from one_of(f"exams.{key}", exam, known, "exam of the section exams")
    if settings.exams.exams and settings.raw != FOLDER:
        yield "raw", f"a set of exams reads them from {FOLDER}"


def _missing_files(raw: Path, name: str, source: Any) -> Iterator[Problem]:
    """Yields a problem for every missing file. A folder that is not there at all, which DVC or a stage may
    bring, is told by the plan.
    """
    if getattr(source, "id", None) is not None or not raw.is_dir():
        return
    for field in ("splits", "files"):
        files = getattr(source, field, None)
        for role, value in files.items() if isinstance(files, dict) else ():
            for path in [value] if isinstance(value, str) else value:
                if not (raw / path).exists():
                    present = sorted(item.name for item in raw.iterdir() if not item.name.startswith("."))
                    more = ", …" if len(present) > SHOWN else ""
                    held = ", ".join(present[:SHOWN]) + more or "nothing"
                    yield f"sources.{name}.{field}.{role}", f"{raw / path} is missing; {raw} holds {held}"
