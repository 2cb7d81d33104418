"""Check of a set against the section `exams` and the files that its sources name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipelines.corpora.corpus_params import CorpusParams
from tasks.checks import File, Problem, missing_files, one_of

FOLDER = "data/exams"  # where the stages exams@… put them


def check(settings: CorpusParams, file: File) -> Iterator[Problem]:
    """Yields a problem for every unknown exam, where the exams are not read from the folder that their stages
    write, and for every file of a source that its folder does not hold.
    """
    for name, source in settings.sources.items():
        yield from missing_files("raw", f"sources.{name}", Path(settings.raw), source)
    if settings.exams is None:
        return
    known = file.names("exams")
    for key, named in (("exams", settings.exams.exams), ("against", settings.exams.against)):
        for exam in dict.fromkeys(named):
            yield from one_of(f"exams.{key}", exam, known, "exam of the section exams")
    if settings.exams.exams and settings.raw != FOLDER:
        yield "raw", f"a set of exams reads them from {FOLDER}"
