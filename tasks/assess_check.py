"""Check of an assessed model against its prompts and the section's graders."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.assess_params import AssessedModel
from tasks.checks import File, Problem, has_rows


def check(settings: AssessedModel, file: File) -> Iterator[Problem]:
    """Yields a problem where the corpus has no held-out prompts, and where it names another checker than the
    graders do.
    """
    for _, text in has_rows("heldout", settings.prompts, file):
        yield "prompts", text
    graders, corpus = file.find("assess", "graders"), file.find("corpus", settings.prompts)
    checker = graders.get("checker") if isinstance(graders, dict) else None
    if checker is not None and corpus is not None and checker != corpus.reward:
        yield (
            "prompts",
            f"corpus.{settings.prompts}.reward is {corpus.reward}, and assess.graders.checker is {checker}: "
            f"make them equal, or leave the checker out, for no accuracy",
        )
