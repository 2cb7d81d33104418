"""What an `rlvr_set` must agree on with the section `exams`."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.corpora.rlvr_set_params import RlvrSetParams
from tasks.checks import File, Problem, one_of

FOLDER = "data/exams"  # where the stages exams@… put them


def check(settings: RlvrSetParams, file: File) -> Iterator[Problem]:
    """A set unites exams by name, and reads them where they are made."""
    if settings.exams is None:
        return
    known = file.names("exams")
    for key, named in (("exams", settings.exams.exams), ("against", settings.exams.against)):
        for exam in dict.fromkeys(named):
            yield from one_of(f"exams.{key}", exam, known, "exam of the section exams")
    if settings.exams.exams and settings.origin != FOLDER:
        yield "origin", f"a set of exams reads them from {FOLDER}"
