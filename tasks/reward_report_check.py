"""What a report on a reward model must agree on with the pairs that its run learns from."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.checks import File, Problem
from tasks.preferences_params import PreferenceSet
from tasks.run_params import RankingRun


def check(settings: RankingRun, file: File) -> Iterator[Problem]:
    """Held-out pairs, which say how the model orders what it has not seen, and open or close its gate."""
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
