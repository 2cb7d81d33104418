"""Safety records: which answer the two labels together prefer, and the two filters (dpo_vs_ppo.md 1.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pipelines.corpora.preferences.pair import Preference
from pipelines.corpora.preferences.preference_set_params import FilterParams

CLASSES = ("dual_safe", "mixed", "dual_unsafe", "unflagged")


def class_of(preference: Preference) -> str:
    """Returns dual_safe, mixed or dual_unsafe by the flags of both answers; unflagged where it has none."""
    if not preference.flagged:
        return "unflagged"
    if preference.chosen_safe == preference.rejected_safe:
        return "dual_safe" if preference.chosen_safe else "dual_unsafe"
    return "mixed"


def count_classes(preferences: Iterable[Preference]) -> dict[str, int]:
    """Returns the number of preferences of each class, zeros included."""
    counts = Counter(map(class_of, preferences))
    return {name: counts[name] for name in CLASSES}


def merge_labels(preferences: Iterable[Preference]) -> tuple[list[Preference], Counter[str]]:
    """Returns the preferences by both labels, safety first: l_h decides between two safe answers, l_s
    otherwise. Preferences without flags are unchanged.

    Removed and counted: mixed_prefers_unsafe (l_s of a mixed pair points to its unsafe answer), no_label (the
    label that decides is null).
    """
    merged, removed = [], Counter[str]()
    for preference in preferences:
        kind = class_of(preference)
        if kind == "unflagged":
            merged.append(preference)
            continue
        label = preference.helpful if kind == "dual_safe" else preference.safer
        if label is None:
            removed["no_label"] += 1
            continue
        chosen = preference if label else preference.swapped()
        if kind == "mixed" and not chosen.chosen_safe:
            removed["mixed_prefers_unsafe"] += 1
        else:
            merged.append(chosen)
    return merged, removed


def apply_filters(
    preferences: Sequence[Preference], filters: FilterParams
) -> tuple[list[Preference], Counter[str]]:
    """Returns the preferences that pass the filters, and the number that each filter removed. Raises
    ValueError when a filter is on and no preference has flags.
    """
    active = [name for name in ("dual_unsafe", "dual_safe") if getattr(filters, name)]
    if active and preferences and not any(preference.flagged for preference in preferences):
        raise ValueError(
            f"filters.{active[0]}: no pair of this set has safety flags; turn the filters off, or name a "
            f"source with flags"
        )
    remaining, removed = [], Counter[str]()
    for preference in preferences:
        kind = class_of(preference)
        if kind in active:
            removed[f"filter_{kind}"] += 1
        else:
            remaining.append(preference)
    return remaining, removed
