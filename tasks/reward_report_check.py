"""Check of a reward model's report against the pairs that its run is trained on."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.checks import File, Problem
from tasks.pair_checks import has_pairs
from tasks.run_params import RankingRun


def check(settings: RankingRun, file: File) -> Iterator[Problem]:
    """Yields a problem where the set has no held-out pairs, on which the model is evaluated and its gate
    decided.
    """
    if not has_pairs("heldout", settings.data, file):
        yield (
            "data",
            f"{settings.data} has no held-out pairs, on which a reward model is judged before a run may "
            f"learn from it: set preferences.{settings.data}.heldout_share: 0.1, or name a split heldout",
        )
