"""What a board of `wins` must agree on with `assess`."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.evaluation.assessment_params import WinsParams
from tasks.checks import File, Problem, one_of


def check(settings: WinsParams, file: File) -> Iterator[Problem]:
    """It compares models that are assessed."""
    assessed = file.names("assess", "models")
    for model in dict.fromkeys(model for match in settings.matches for model in match):
        yield from one_of("matches", model, assessed, "model of assess.models")
