"""What a reward function gets to know of a question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.models.conversation import Conversation
from pipelines.rewards.judge import Response

COLUMNS = "columns"  # of a record's `meta`: those of the raw row that its source keeps


@dataclass(frozen=True)
class RewardRecord:
    """The third argument of a function that takes one response. `record["difficulty"]` is a column of the
    data. `finished`: the model ended the response, rather than a token limit.
    """

    id: str
    prompt: str
    answer: str
    subject: str = ""
    level: int | None = None
    source: str = ""
    finished: bool = True
    columns: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, column: str) -> Any:
        return self.columns[column]


def call_row(response: Response, messages: bool | None) -> dict[str, Any]:
    """Returns a response as JSON for the function's process: {"prompt", "completion", "ids", "record"},
    prompt and completion as texts or as lists of messages. `messages` None: as the data has the question.
    """
    record = response.record
    turns = getattr(record, "conversation", None)
    prompt: Any = record.prompt
    completion: Any = response.text
    if turns is not None if messages is None else messages:
        prompt = (
            [{"role": "user", "content": prompt}]
            if turns is None
            else [turn.message for turn in Conversation.from_json(turns).prompt.turns]
        )
        completion = [{"role": "assistant", "content": completion}]
    facts = {
        "id": record.id,
        "answer": record.answer,
        "subject": str(getattr(record, "subject", "")),
        "level": getattr(record, "level", None),
        "source": record.source,
        "finished": response.finished,
    }
    meta = {name: value for name, value in record.meta.items() if name != COLUMNS}
    columns = {**facts, **meta, **record.meta.get(COLUMNS, {})}
    return {
        "prompt": prompt,
        "completion": completion,
        "ids": list(response.ids),
        "record": {**facts, "prompt": record.prompt, "columns": columns},
    }
