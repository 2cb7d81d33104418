"""What a set of pairs can hold, by its settings, and what its users need of it."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.corpora.pairs.sampled_params import SampledParams
from tasks.checks import File, Problem, has_rows
from tasks.preferences_params import PreferenceSet

PROMPTS = {"train": "rl", "validation": "validation", "heldout": "heldout"}  # of a corpus that is sampled


def has_pairs(side: str, data: str, file: File) -> bool:
    """Returns whether a set may have pairs on a side; also where that is not known, or it is no set of
    pairs.
    """
    pairs = file.find("preferences", data)
    if not isinstance(pairs, PreferenceSet):
        return True
    source, splits = pairs.source, getattr(pairs.source, "splits", None)
    if isinstance(source, SampledParams) and source.file is None:
        sides = {name for name in source.prompts if not [*has_rows(PROMPTS[name], pairs.data, file)]}
    elif splits:
        sides = set(splits)
    else:
        return True  # each row says its side
    shares = {"validation": pairs.validation_share, "heldout": pairs.heldout_share}
    return side in sides or ("train" in sides and shares.get(side, 0.0) > 0)


def needs_validation_pairs(every: int, data: str, file: File) -> Iterator[Problem]:
    """Yields a problem where validation is switched on and the set cannot have validation pairs."""
    if every and not has_pairs("validation", data, file):
        yield (
            "validation_every",
            f"{data} has no validation pairs: set preferences.{data}.validation_share above 0, name a split "
            f"validation, or set validation_every: 0",
        )
