"""The sections on preferences and on the theory: tables, figures and sentences, which page and text both
use.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tasks.report_page import preference_figures, preference_tables, theory_figures
from tasks.report_page.picture import Picture
from tasks.report_page.preference_results import PreferenceResults
from tasks.report_page.tables import Table
from tasks.stage_warnings import MARK, warnings_in


class Heading(NamedTuple):
    """A heading within a section."""

    text: str


class Pictures(NamedTuple):
    """Figures that stand side by side."""

    members: Sequence[Picture]


Block = Heading | Pictures | Table | str  # a str is a paragraph


class Section(NamedTuple):
    """A part of the page, with its key and title in the navigation."""

    key: str
    title: str
    blocks: list[Block]


TITLE = "Preferences"
SETS = "Counts are of rows, in the order of the steps; what a filter took out is named by its reason."
REWARDS = (
    "Accuracy on pairs of prompts that no model was trained on; a tie counts half. ECE: mean distance of "
    "confidence and share right. "
    "Temperature: what the scores would have to be divided by; above 1 the model is too sure."
)
POLICIES = (
    "From sampled answers to held-out prompts. Below a share stands its difference from the model's "
    "reference, in points. Out of "
    "distribution: the reference gives the answer less log-probability per token than 99 % of its own "
    "answers; the reference has 1 %. "
    "Degenerate: empty, unfinished, or in a loop. A reward from the model that a policy was trained against "
    "flatters it."
)
MATCHES = (
    "The judge sees each pair of answers in both orders; the same model twice is a win, different ones are a "
    "tie. Net: wins minus losses, "
    "as a share of the prompts."
)


def sections(results: PreferenceResults, folder: Path, smoothing: int) -> list[Section]:
    """Returns the sections that have metrics, with their figures written into `folder`."""
    blocks: list[Block] = []
    if results.sets:
        blocks += [Heading("Pairs"), *preference_tables.sets(results), SETS]
    if results.reward_models:
        picture = preference_figures.calibration(results.reward_models, folder)
        blocks += [
            Heading("Reward models"),
            *preference_tables.reward_models(results),
            REWARDS,
            *(
                f"{MARK}{name}: {warning}."
                for name, value in results.reward_models.items()
                for warning in warnings_in(value)
            ),
            *([Pictures([picture])] if picture else []),
        ]
    if results.assessed:
        blocks += [Heading("Policies"), *preference_tables.policies(results), POLICIES]
    if results.boards:
        bars = Pictures(preference_figures.wins(results.boards, folder))
        blocks += [
            Heading("Against one another"),
            *([bars] if bars.members else []),
            *preference_tables.boards(results),
            MATCHES,
        ]
    if curves := preference_figures.curves(results, folder, smoothing):
        blocks += [Heading("Training"), Pictures(curves)]
    shown = [Section(TITLE.casefold(), TITLE, blocks)] if blocks else []
    if results.theory is not None:
        pictures, tables = (
            theory_figures.draw(results.theory, folder),
            preference_tables.theory(results.theory),
        )
        shown.append(
            Section("theory", "DPO and PPO in theory", [results.theory["limit"], Pictures(pictures), *tables])
        )
    return shown
