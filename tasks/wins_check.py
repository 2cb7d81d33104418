"""Check of a board of `wins` against the section `assess`."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.evaluation.assessment_params import WinsParams
from tasks.checks import File, Problem, one_of


def check(settings: WinsParams, file: File) -> Iterator[Problem]:
    """Yields a problem for every model of a match that is not assessed."""
    assessed = file.names("assess", "models")
    for model in dict.fromkeys(model for match in settings.matches for model in match):
        yield from one_of("matches", model, assessed, "model of assess.models")
