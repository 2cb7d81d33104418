"""Dialogues from preference data as demonstrations: prompt and preferred answer, the loss on that answer
alone (dpo_vs_ppo.md 2).

Prompts and split keys are those that the preferences of the same rows have, so equal shares put the same
prompts aside in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipelines.corpora.canonical import loose
from pipelines.corpora.columns import BadRow
from pipelines.corpora.pair import Preference
from pipelines.corpora.pair_rows import Removed
from pipelines.corpora.pairs import hh, llama_factory
from pipelines.corpora.problem import Problem, Reading
from pipelines.corpora.sources_params import DialogueSource
from pipelines.corpora.split import Side
from pipelines.corpora.tables import table_rows
from pipelines.models.conversation import Conversation

LAYOUTS: Mapping[str, Callable[[Mapping[str, Any], Side, str], Preference]] = {
    "hh": hh.preference,
    "llama_factory": llama_factory.preference,
}


def read(source: DialogueSource, reading: Reading) -> Iterator[Problem]:
    """The reference answer is the preferred one. A row that would give no pair counts as a bad one."""
    convert = LAYOUTS[source.layout]
    for role, split in source.splits.items():
        for where, row in table_rows(source, reading, split):
            try:
                found = convert(row, "train", reading.name)
                if not found.chosen.strip():
                    raise BadRow("the preferred answer is empty")
            except (BadRow, Removed) as fault:
                reading.ledger.reject(where, str(fault).replace("_", " "))
            else:
                reading.ledger.accept()
                yield Problem(
                    found.prompt,
                    found.chosen,
                    role,
                    reading.name,
                    found.chosen,
                    key=loose(found.key),
                    meta=found.meta,
                    conversation=_whole(found),
                    where=where,
                )


def _whole(found: Preference) -> Conversation | None:
    return None if found.conversation is None else found.conversation.answer(found.chosen)
