"""An example rendered and tokenised for one model: the input of a training loop, a sampler and a judge.

Records are made at the start of a stage, with the tokenizer and chat template of its model
(pipelines/corpora/records/tokenised.py); from there on token ids are passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.models.chat import Loss


@dataclass(frozen=True)
class Record:
    """The texts of an `Example`, and token ids. `prompt_ids`: the template is applied. `response_ids`: ends
    with EOS, or with the token that ends a turn of the chat; None where there is no demonstration.
    `loss_spans`: spans [start, stop) of `prompt_ids` that are trained on as well, each an earlier turn of the
    assistant.
    """

    id: str
    prompt: str
    response: str | None
    answer: str
    subject: str
    level: int | None
    source: str
    prompt_ids: list[int]
    response_ids: list[int] | None
    meta: Mapping[str, Any] = field(default_factory=dict)
    conversation: Mapping[str, Any] | None = None
    loss_spans: list[list[int]] = field(default_factory=list)
    loss: Loss | Literal["text"] = "last"

    def __post_init__(self) -> None:
        if (self.response is None) != (self.response_ids is None):
            raise ValueError("response and response_ids must both be there, or both be None")
