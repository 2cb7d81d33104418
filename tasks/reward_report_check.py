"""Check of a reward model's report against the pairs that its run is trained on."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.checks import File, Problem
from tasks.preferences_params import PreferenceSet
from tasks.run_params import RankingRun


def check(settings: RankingRun, file: File) -> Iterator[Problem]:
    """Yields a problem where the set has no held-out pairs, on which the model is evaluated and its gate
    decided.
    """
    pairs = file.find("preferences", settings.data)
    if not isinstance(pairs, PreferenceSet) or pairs.heldout_share:
        return
    splits = getattr(pairs.source, "splits", None)
    if splits and "heldout" not in splits:
        yield (
            "data",
            f"{settings.data} has no held-out pairs, on which a reward model is judged before a run may "
            f"learn from it: set preferences.{settings.data}.heldout_share: 0.1, or name a split heldout",
        )
