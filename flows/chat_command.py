"""`whetstone chat`: talk to a model in the terminal; its replies appear as they are drawn.

With a chat template the model reads all turns so far; without one it was trained on single questions, and
each line is a question of its own. Two models that are compared each go on from their own replies.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.text import Text

from flows import api
from pipelines.inference.prompts import Asked
from pipelines.models.conversation import Conversation, Turn
from pipelines.rollouts.rollout_params import SamplingParams

if TYPE_CHECKING:
    from pipelines.inference.checkpoint import Checkpoint

HELP = "/new starts over, /undo takes the last turn back, /exit or Ctrl-D ends; Ctrl-C stops a reply"


@dataclass
class Talk:
    """What was said to one model, and how it is asked."""

    name: str
    checkpoint: Checkpoint
    sampling: SamplingParams
    seed: int
    system: str | None = None
    turns: list[Turn] = field(default_factory=list)

    @property
    def remembers(self) -> bool:
        return self.checkpoint.tokens.chat is not None

    def ask(self, text: str) -> Iterator[str]:
        """Yields the reply as it is drawn, and remembers both once it is read or left. ValueError where the
        turn cannot be written as ids, which forgets it.
        """
        asked = self._asked(text)
        said: list[str] = []
        try:
            for piece in self.checkpoint.stream(asked, self.sampling, self.seed):
                said.append(piece)
                yield piece
        finally:
            reply = "".join(said)
            if self.remembers and reply.strip():
                self.turns += [Turn("user", text), Turn("assistant", reply)]

    def new(self) -> None:
        self.turns = []

    def undo(self) -> None:
        self.turns = self.turns[:-2]

    def _asked(self, text: str) -> Asked:
        if not self.remembers:
            return text
        system = [Turn("system", self.system)] if self.system else []
        return Conversation.of([*system, *self.turns, Turn("user", text)], "turns")


def chat(
    models: list[str],
    sampling: SamplingParams,
    seed: int,
    system: str | None,
    source: TextIO,
    console: Console,
) -> None:
    """Talk to `models` until `source` ends: each of its lines is a turn. Raises UnknownModel, ValueError or
    OSError where a model cannot be loaded, or `system` needs a chat template that one has not.
    """
    talks = [Talk(name, api.load(name), sampling, seed, system) for name in models]
    for talk in talks:
        if system and not talk.remembers:
            raise ValueError(
                f"--system: {talk.name} has no chat template, so there is no system turn; leave it out"
            )
        if not talk.remembers:
            console.print(
                f"{talk.name} has no chat template: each line is a question of its own", style="dim"
            )
    interactive = source.isatty()
    if interactive:
        console.print(HELP, style="dim")
    while (line := _line(source, console, interactive)) is not None:
        text = line.strip()
        if text in ("/exit", "/quit"):
            return
        if text in ("/new", "/undo"):
            for talk in talks:
                talk.new() if text == "/new" else talk.undo()
        elif text:
            for talk in talks:
                _reply(talk, text, console, headed=len(talks) > 1)


def _line(source: TextIO, console: Console, interactive: bool) -> str | None:
    """Returns the next line, None at the end."""
    if not interactive:
        return source.readline() or None
    try:
        return input("> ")
    except EOFError:
        console.print()
    except KeyboardInterrupt:
        console.print()
        return ""
    return None


def _reply(talk: Talk, text: str, console: Console, headed: bool) -> None:
    if headed:
        console.print(f"{talk.name}:", style="bold", markup=False)
    try:
        with closing(talk.ask(text)) as pieces:  # type: ignore[type-var]
            for piece in pieces:
                console.print(Text(piece), end="")
                sys.stdout.flush()
    except KeyboardInterrupt:
        pass  # the reply is left; the talk goes on
    except ValueError as fault:
        console.print(f"{fault}: the turn is left out", style="red", markup=False, end="")
    console.print()
