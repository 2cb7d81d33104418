"""Multi-subject RLVR sets in their released layout (reward_bridge.md 1.2): `query` (chat messages), `label`,
`subject`.

The question is the last message of the user. The system message asks for a phrase before the answer; here
that is part of the template.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from pipelines.corpora.exams.item import ExamItem
from pipelines.corpora.exams.options import MultiSubjectParams
from pipelines.corpora.raw.columns import BadRow, text
from pipelines.corpora.raw.problem import Reading
from pipelines.corpora.raw.tables import table_rows


def read(options: MultiSubjectParams, reading: Reading) -> Iterator[ExamItem]:
    """Yields the rows of all splits named. Raises OSError, naming the way out, when a dataset is neither
    cached nor reachable.
    """
    for split in options.splits:
        for number, (where, row) in enumerate(islice(table_rows(options, reading, split), options.limit), 1):
            try:
                item = _item(options, row, f"{split}/{number}")
            except BadRow as fault:
                reading.ledger.reject(where, str(fault))
            else:
                reading.ledger.accept()
                yield item


def _item(options: MultiSubjectParams, row: Mapping[str, Any], row_id: str) -> ExamItem:
    subject = str(row.get(options.subject) or "others")
    return ExamItem(row_id, _question(row.get(options.query)), subject, "", "en", text(row, options.label))


def _question(query: Any) -> str:
    if isinstance(query, str) and query.strip():
        return query
    if isinstance(query, list):
        contents = [
            turn.get("content") for turn in query if isinstance(turn, Mapping) and turn.get("role") == "user"
        ]
        if contents and isinstance(contents[-1], str) and contents[-1].strip():
            return contents[-1]
    raise BadRow("query holds no message of a user")
