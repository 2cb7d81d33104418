"""Choices of a request, drawn one after the other and handed out in pieces as they are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

from pipelines.inference.checkpoint import Checkpoint, reply_key
from pipelines.inference.decoding import Step
from pipelines.inference.text_stream import TextStream
from pipelines.rollouts.rollout_params import SamplingParams


class Piece(NamedTuple):
    """Text of the choice of that number, with the tokens that brought it; `finish` is set on a choice's last
    piece: stop or length.
    """

    choice: int
    text: str
    steps: list[Step]
    finish: str | None


@dataclass
class Choice:
    """A choice put together from its pieces."""

    text: str = ""
    steps: list[Step] = field(default_factory=list)
    finish: str = ""


@dataclass(frozen=True)
class Generation:
    """`prompts`: token ids; each has `n` choices. `top` None: no log-probs are wanted."""

    prompts: Sequence[list[int]]
    sampling: SamplingParams
    seed: int
    n: int = 1
    stops: Sequence[str] = ()
    top: int | None = None

    def pieces(self, checkpoint: Checkpoint, turn: Lock) -> Iterator[Piece]:
        """Yields all choices. `turn` is held while a choice is drawn: the decoder serves one at a time."""
        for number, ids in enumerate(self.prompts):
            for choice in range(self.n):
                with turn:
                    yield from self._choice(checkpoint, ids, number * self.n + choice, choice)

    def _choice(self, checkpoint: Checkpoint, ids: list[int], index: int, choice: int) -> Iterator[Piece]:
        written = TextStream(checkpoint.tokens, self.stops)
        waiting: list[Step] = []
        key = reply_key(ids, self.seed, choice)
        for step in checkpoint.decoder.stream(ids, key, self.sampling, self.top or 0):
            waiting.append(step)
            text = written.push(step.id)
            if step.finish is not None:
                text += written.finish()
            if step.finish is not None or written.stopped:
                ended = written.stopped or bool(step.finish and step.finish.complete)
                yield Piece(index, text, waiting, "stop" if ended else "length")
                return
            if text:
                yield Piece(index, text, waiting, None)
                waiting = []

    def whole(self, checkpoint: Checkpoint, turn: Lock) -> list[Choice]:
        """Returns the choices, when all are drawn."""
        choices = [Choice() for _ in range(len(self.prompts) * self.n)]
        for piece in self.pieces(checkpoint, turn):
            choice = choices[piece.choice]
            choice.text += piece.text
            choice.steps += piece.steps
            choice.finish = piece.finish or choice.finish
        return choices
