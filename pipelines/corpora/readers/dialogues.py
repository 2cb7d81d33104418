"""Dialogues from preference data as demonstrations: prompt and preferred answer, the loss on that answer
alone (dpo_vs_ppo.md 2).

Prompts and split keys are the same as in the preferences of the same rows, so that equal shares put the same
prompts aside in both.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.corpora.cleaning.canonical import loose_form
from pipelines.corpora.preferences.pair import Preference
from pipelines.corpora.preferences.pair_rows import Removed
from pipelines.corpora.raw.columns import BadRow
from pipelines.corpora.raw.problem import Problem, Reading
from pipelines.corpora.raw.tables import table_rows
from pipelines.corpora.readers.options import DialoguesSource
from pipelines.models.conversation import Conversation
from pipelines.seams import load


def read(source: DialoguesSource, reading: Reading) -> Iterator[Problem]:
    """Yields the preferred answers as demonstrations and reference answers. A row that would give no pair
    counts as bad.
    """
    convert = load("pipelines.corpora.pairs", source.layout).preference
    for role, split in source.splits.items():
        for where, row in table_rows(source, reading, split):
            try:
                pair: Preference = convert(row, "train", reading.name)
                if not pair.chosen.strip():
                    raise BadRow("the preferred answer is empty")
            except (BadRow, Removed) as fault:
                reading.ledger.reject(where, str(fault).replace("_", " "))
            else:
                reading.ledger.accept()
                yield Problem(
                    pair.prompt,
                    pair.chosen,
                    role,
                    reading.name,
                    pair.chosen,
                    key=loose_form(pair.key),
                    meta=pair.meta,
                    conversation=_conversation(pair),
                    where=where,
                )


def _conversation(pair: Preference) -> Conversation | None:
    return None if pair.conversation is None else pair.conversation.answer(pair.chosen)
