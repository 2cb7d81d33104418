"""Check of a set of judgements against the questions that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipelines.corpora.corpus_params import CorpusParams
from tasks.checks import File, Problem, has_rows
from tasks.judgements_params import ExploreSource, JudgementsParams


def check(settings: JudgementsParams, file: File) -> Iterator[Problem]:
    """Yields a problem where the corpus puts no questions aside for verifiers, has no held-out ones or no
    variants of answers that are asked for, and where published solutions are no file.
    """
    corpus = file.find("corpus", settings.data)
    if not isinstance(settings.source, ExploreSource):
        if Path(settings.origin).is_dir():
            yield "origin", f"{settings.origin} is a folder: name the file of published solutions in it"
        return
    if not isinstance(corpus, CorpusParams):
        return
    if not corpus.for_verifiers:
        yield (
            "data",
            f"corpus.{settings.data} puts no questions aside to explore: give it verifier: {{explore: 0.4, "
            f"calib: 0.1}}",
        )
    yield from has_rows("heldout", settings.data, file)
    if settings.source.variants and corpus.exams is None and corpus.wording is None:
        yield "source.variants", f"corpus.{settings.data} has no variants of answers: give it a wording: {{}}"
