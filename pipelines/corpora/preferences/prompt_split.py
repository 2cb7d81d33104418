"""The sides of a preference set, decided by prompt and never by pair: by file, by hash of the key, and
without what other sides contain.

Held-out prompts stay; validation gives way to them, training to both, and both give way to the corpus'
held-out problems, on which models are measured. The filters come later, so that turning one on or off moves
no prompt.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from pipelines.corpora.cleaning.canonical import canonical_form, loose_form
from pipelines.corpora.cleaning.contamination import decontaminate
from pipelines.corpora.cleaning.split import Shares, Side, hash_fraction
from pipelines.corpora.preferences.pair import Labelled, Preference
from pipelines.corpora.preferences.preference_set_params import PreferencesParams
from pipelines.corpora.raw.problem import Problem

SIDES: tuple[Side, ...] = ("train", "validation", "heldout")


def group_key(prompt: str) -> str:
    """Returns the key that all pairs of one prompt share: a hash of its canonical form, 16 hexadecimal
    digits.
    """
    return _hashed(canonical_form(prompt))


def order_key(prompt: str) -> str:
    """Returns the hash of the loose form, by which prompts are shuffled, drawn and limited."""
    return _hashed(loose_form(prompt))


def _hashed(form: str) -> str:
    return hashlib.sha256(form.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True)
class PromptSides:
    """`sides`: the side of each group that has one; `removed`: why the other groups have none; `file_sides`:
    the side of each group that a validation or held-out file holds; `leakage`: counts of overlaps between the
    sides.
    """

    sides: Mapping[str, Side]
    removed: Mapping[str, str]
    file_sides: Mapping[str, Side]
    leakage: Mapping[str, object]

    def of(self, item: Preference | Labelled) -> tuple[Side | None, str]:
        """Returns the side of a pair; or None, and the reason why it has none."""
        group = group_key(item.prompt)
        file_side = self.file_sides.get(group)
        if (
            file_side is not None and file_side != item.side
        ):  # rows of a validation or held-out file stay as they are
            return None, f"{item.side}_in_{file_side}"
        return self.sides.get(group), self.removed.get(group, "")


def split_prompts(
    items: Iterable[Preference | Labelled], params: PreferencesParams, corpus: Mapping[str, Sequence[str]]
) -> PromptSides:
    """Returns the side of every prompt. `corpus`: its prompts by file; those under `heldout` are removed from
    training and validation, the others are only counted.
    """
    file_sides: dict[str, Side] = {}
    prompts: dict[str, Problem] = {}
    keys: dict[str, str] = {}  # of the split, by group
    for item in sorted(items, key=lambda item: (item.prompt, item.key)):
        group = group_key(item.prompt)
        if group not in prompts:
            prompts[group] = Problem(item.prompt, "", "train", "", key=canonical_form(item.key))
            keys[group] = loose_form(item.key) or loose_form(item.prompt)
        if item.side == "heldout" or (item.side == "validation" and group not in file_sides):
            file_sides[group] = item.side
    shares = Shares(params.validation_share, params.heldout_share)
    sides: dict[Side, dict[str, Problem]] = {side: {} for side in SIDES}
    for group, problem in prompts.items():
        sides[file_sides.get(group) or shares.side(keys[group])][group] = problem
    heldout = list(sides["heldout"].values())
    published = [Problem(prompt, "", "heldout", "") for prompt in corpus.get("heldout", ())]
    reasons: dict[str, Counter[str]] = {}
    removed, reasons["validation"] = _remove_overlap(
        sides["validation"], [*heldout, *published], params, "validation_in_heldout"
    )
    held_out = [*heldout, *sides["validation"].values(), *published]
    removed_from_train, reasons["train"] = _remove_overlap(
        sides["train"], held_out, params, "train_in_heldout"
    )
    removed |= removed_from_train
    for side, limit in params.limits.items():
        ordered = sorted(
            sides[side], key=lambda group: hash_fraction("order:" + order_key(prompts[group].question))
        )
        for group in ordered[limit:]:
            del sides[side][group]
            removed[group] = "over_limits"
    side_of_group: dict[str, Side] = {group: side for side in SIDES for group in sides[side]}
    return PromptSides(side_of_group, removed, file_sides, _leakage(sides, reasons, corpus))


def _remove_overlap(
    rows: dict[str, Problem], against: Sequence[Problem], params: PreferencesParams, step: str
) -> tuple[dict[str, str], Counter[str]]:
    """Removes from `rows` what `against` contains. Returns `step` for each group that was removed, and their
    number by reason.
    """
    if not rows or not against:
        return {}, Counter()
    remaining, reasons = decontaminate(list(rows.values()), against, params.decontaminate, params.near)
    kept_ids = {id(problem) for problem in remaining}
    removed = [group for group, problem in rows.items() if id(problem) not in kept_ids]
    for group in removed:
        del rows[group]
    return dict.fromkeys(removed, step), reasons


def _leakage(
    sides: Mapping[Side, Mapping[str, Problem]],
    reasons: Mapping[str, Counter[str]],
    corpus: Mapping[str, Sequence[str]],
) -> dict[str, object]:
    """Returns counts of prompts: what two sides still share, which must be zero, and what was removed, by
    reason.
    """
    groups = {side: set(problems) for side, problems in sides.items()}
    keys = {
        side: {problem.key for problem in problems.values() if problem.key}
        for side, problems in sides.items()
    }
    published = {group_key(prompt) for prompt in corpus.get("heldout", ())}
    trained = {group_key(prompt) for file in ("sft", "rl") for prompt in corpus.get(file, ())}
    return {
        "groups_on_two_sides": sum(
            len(groups[side] & groups[other]) for side, other in combinations(SIDES, 2)
        ),
        "keys_on_two_sides": sum(len(keys[side] & keys[other]) for side, other in combinations(SIDES, 2)),
        "in_corpus_heldout": len((groups["train"] | groups["validation"]) & published),
        "heldout_in_corpus_training": len(groups["heldout"] & trained),
        **{f"{side}_gave_way": dict(sorted(counts.items())) for side, counts in sorted(reasons.items())},
    }
