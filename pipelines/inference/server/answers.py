"""OpenAI's objects: completions, the chunks of a stream, log-probs, usage, models and errors."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.inference.decoding import Step
from pipelines.inference.server.generation import Choice, Piece
from pipelines.models.tokenizer import Tokens


def error(message: str, kind: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def usage(prompt: int, completion: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def token_text(tokens: Tokens, id: int) -> str:
    """Returns a token as it stands in a text; a special one by its name."""
    return tokens.decode([id]) or tokens.tokenizer.id_to_token(id) or ""


@dataclass
class ChatAnswer:
    """The objects of one chat completion. `top` as in Generation."""

    model: str
    tokens: Tokens
    top: int | None
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))
    _begun: set[int] = field(default_factory=set)

    def whole(self, choices: Sequence[Choice]) -> dict[str, Any]:
        return {
            **self._head("chat.completion"),
            "choices": [
                {
                    "index": index,
                    "message": {"role": "assistant", "content": choice.text},
                    "logprobs": self._logprobs(choice.steps),
                    "finish_reason": choice.finish,
                }
                for index, choice in enumerate(choices)
            ],
        }

    def chunk(self, piece: Piece) -> dict[str, Any]:
        delta: dict[str, Any] = {"content": piece.text} if piece.text or not piece.finish else {}
        if piece.choice not in self._begun:
            self._begun.add(piece.choice)
            delta = {"role": "assistant", **delta}
        choice = {
            "index": piece.choice,
            "delta": delta,
            "logprobs": self._logprobs(piece.steps),
            "finish_reason": piece.finish,
        }
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def last(self, used: dict[str, int]) -> dict[str, Any]:
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": used}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _logprobs(self, steps: Sequence[Step]) -> dict[str, Any] | None:
        if self.top is None:
            return None
        return {
            "content": [
                {
                    **self._token(step.id, step.logprob),
                    "top_logprobs": [self._token(id, logprob) for id, logprob in step.top],
                }
                for step in steps
            ]
        }

    def _token(self, id: int, logprob: float) -> dict[str, Any]:
        text = token_text(self.tokens, id)
        return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "replace"))}


@dataclass
class TextAnswer:
    """The objects of one plain completion."""

    model: str
    tokens: Tokens
    top: int | None
    id: str = field(default_factory=lambda: f"cmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, choices: Sequence[Choice]) -> dict[str, Any]:
        rows = [
            self._choice(index, choice.text, choice.steps, choice.finish)
            for index, choice in enumerate(choices)
        ]
        return {**self._head(), "choices": rows}

    def chunk(self, piece: Piece) -> dict[str, Any]:
        return {
            **self._head(),
            "choices": [self._choice(piece.choice, piece.text, piece.steps, piece.finish)],
        }

    def last(self, used: dict[str, int]) -> dict[str, Any]:
        return {**self._head(), "choices": [], "usage": used}

    def _head(self) -> dict[str, Any]:
        return {"id": self.id, "object": "text_completion", "created": self.created, "model": self.model}

    def _choice(self, index: int, text: str, steps: Sequence[Step], finish: str | None) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": self._logprobs(steps), "finish_reason": finish}

    def _logprobs(self, steps: Sequence[Step]) -> dict[str, Any] | None:
        if self.top is None:
            return None
        return {
            "tokens": [token_text(self.tokens, step.id) for step in steps],
            "token_logprobs": [step.logprob for step in steps],
            "top_logprobs": [
                {token_text(self.tokens, id): logprob for id, logprob in step.top} for step in steps
            ],
        }
