"""Check of a set of exams against the section `exams`."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.corpora.corpus_params import CorpusParams
from tasks.checks import File, Problem, one_of

FOLDER = "data/exams"  # where the stages exams@… put them


def check(settings: CorpusParams, file: File) -> Iterator[Problem]:
    """Yields a problem for every unknown exam, and where the exams are not read from the folder that their
    stages write.
    """
    if settings.exams is None:
        return
    known = file.names("exams")
    for key, named in (("exams", settings.exams.exams), ("against", settings.exams.against)):
        for exam in dict.fromkeys(named):
            yield from one_of(f"exams.{key}", exam, known, "exam of the section exams")
    if settings.exams.exams and settings.raw != FOLDER:
        yield "raw", f"a set of exams reads them from {FOLDER}"
