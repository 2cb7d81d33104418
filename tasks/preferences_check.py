"""Check of a set of pairs against the files that its source names and the corpus whose prompts it samples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipelines.corpora.pairs.sampled_params import SampledParams
from tasks.checks import File, Problem, has_rows, missing_files
from tasks.preferences_params import PreferenceSet


def check(settings: PreferenceSet, file: File) -> Iterator[Problem]:
    """Yields a problem for every missing file, where no split gives pairs to train on, and where the prompts
    that are sampled have no rows.
    """
    source = settings.source
    if isinstance(source, SampledParams) and source.file is None:
        yield from has_rows("rl", settings.data, file)
        return
    if (splits := getattr(source, "splits", None)) and "train" not in splits:
        yield "source.splits", "no split is named train: there would be no pair to learn from"
    yield from missing_files("origin", "source", Path(settings.origin), source)
