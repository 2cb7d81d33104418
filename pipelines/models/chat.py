"""A model's own chat template as part of its contract: what it writes around a conversation, and which of
that is the assistant's.

The tokens of an assistant's turn are found by the template's own marks ({% generation %}), or by rendering
prefixes: what the first turns give with the generation prompt must be the beginning of what all turns give.
The token that ends a turn is what the template writes behind the assistant's text; it is learnt and stops
generation. Where this cannot be done exactly the template is refused, never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from pipelines.models.chat_renderer import Refused, Renderer, TemplateFault
from pipelines.models.conversation import Conversation, Turn

# which of the assistant's turns are learnt; a number: those from that turn on
Loss = Literal["every", "last"] | int
Span = tuple[int, int]
# Stand for texts while a template is tried: nothing that one would trim, escape or parse.
QUERY, REPLY, THEN, LAST = "\u27eaquery\u27eb", "\u27eareply\u27eb", "\u27eathen\u27eb", "\u27ealast\u27eb"


class NotExact(ValueError):
    """The assistant's text cannot be told apart exactly in what the template writes; the text says why."""


@dataclass(frozen=True)
class Written:
    """What a template wrote. `learnt`: places of the assistant's turns in the text, each up to and with the
    token that ends it; `cuts`: places where the tokens before and after are made apart, so that more turns
    never change the ids of earlier ones.
    """

    text: str
    learnt: tuple[Span, ...]
    cuts: tuple[int, ...]


@dataclass(frozen=True)
class Opening:
    """What stands around one question and its answer: `before` + question + `after`, then `lead` + answer +
    `tail` + the end token.
    """

    before: str
    after: str
    lead: str
    tail: str


@dataclass(frozen=True)
class ChatFacts:
    """What tokens.json holds of a chat template. `end`: the text of the token that ends the assistant's turn;
    `trims`: whether the template strips blanks at the start and the end of the user's text, and of the
    assistant's; `every`: empty, or why only the last turn can be learnt; `system`: a system turn for
    conversations without one; `examples`: turns before a question.
    """

    source: str
    end: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    date: str = "2024-07-26"
    trims: tuple[bool, bool, bool, bool] = (False, False, False, False)
    every: str = ""
    system: str | None = None
    examples: tuple[str, ...] = ()


class Chat:
    """A template with its facts; `name` is whose it is, for errors."""

    def __init__(self, facts: ChatFacts, name: str, seconds: float | None = None) -> None:
        self.facts, self.name = facts, name
        self._seconds = {} if seconds is None else {"seconds": seconds}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], name: str) -> Chat:
        """Returns the chat that `as_json` gave. Raises TypeError for anything else."""
        lists = {"trims": tuple(value["trims"]), "examples": tuple(value["examples"])}
        return cls(ChatFacts(**{**value, **lists}), name)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self.facts), "trims": list(self.facts.trims), "examples": list(self.facts.examples)}

    @cached_property
    def _renderer(self) -> Renderer:
        return Renderer(self.name, self.facts.source, self.facts.variables, self.facts.date, **self._seconds)

    def with_opening(self, conversation: Conversation) -> Conversation:
        """With the contract's system turn where it has none, and before a single question the contract's
        examples.
        """
        turns = conversation.turns
        system = turns[:1] if turns[0].role == "system" else ()
        if not system and self.facts.system is not None:
            system = (Turn("system", self.facts.system),)
            turns = (*system, *turns)
        alone = len(conversation.prompt.turns) - (conversation.turns[0].role == "system") == 1
        shown = _said(*self.facts.examples).turns if alone else ()
        return Conversation((*turns[: len(system)], *shown, *turns[len(system) :]), conversation.tools)

    def text(self, conversation: Conversation) -> str:
        """Returns the text that the template writes, with the generation prompt after turns that do not end
        with the assistant's.
        """
        opened = self.with_opening(conversation)
        text: str = self._renderer.render([turn.message for turn in opened.turns], opened.tools, ())["whole"]
        return text

    def write(self, conversation: Conversation, loss: Loss = "last") -> Written:
        """Returns the text of all turns, followed by the generation prompt where the last one is not the
        assistant's.

        Refused where the template refuses the turns, NotExact where an assistant's turn that is to be learnt
        cannot be told apart. Turns that `with_opening` put before are not learnt.
        """
        opened = self.with_opening(conversation)
        added, final = len(opened.turns) - len(conversation.turns), len(opened.turns) - 1
        least = final if loss == "last" else added + (0 if loss == "every" else loss)
        places = [number for number, turn in enumerate(opened.turns) if turn.role == "assistant"]
        rendered = self._renderer.render([turn.message for turn in opened.turns], opened.tools, places)
        if rendered["marked"] and len(rendered["marks"]) != len(places):
            raise NotExact(
                f"it marks {len(rendered['marks'])} places by {{% generation %}}, of {len(places)} turns of "
                f"the assistant"
            )
        spans: list[Span] = []
        learnt: list[Span] = []
        for order, number in enumerate(places):
            wanted = number >= least and conversation.answered
            try:
                span = self._span(rendered, order, opened.turns[number], number == final)
            except NotExact:
                if wanted:
                    raise
                continue
            spans.append(span)
            if wanted:
                learnt.append(span)
        return Written(
            rendered["whole"], tuple(learnt), tuple(sorted({place for span in spans for place in span}))
        )

    def _span(self, rendered: Mapping[str, Any], order: int, turn: Turn, last: bool) -> Span:
        """Of the assistant's turn number `order`: its mark, or from behind the generation prompt, up to and
        with the end token.
        """
        text: str = rendered["whole"]
        asked, answered = rendered["asked"][order], rendered["answered"][order]
        if not text.startswith(asked):
            raise NotExact(
                "what it writes before an assistant's turn, with add_generation_prompt, is not how the whole "
                "begins"
            )
        start = rendered["marks"][order][0] if rendered["marked"] else len(asked)
        if start < len(asked):
            raise NotExact("its {% generation %} mark begins before the generation prompt ends")
        place = text.find(self.facts.end, start)
        if place < 0:
            raise NotExact(f"it does not write {self.facts.end!r} behind the assistant's text")
        stop = place + len(self.facts.end)
        if rendered["marked"] and text[rendered["marks"][order][1] : place].strip():
            raise NotExact(
                f"its {{% generation %}} mark ends before {text[rendered['marks'][order][1] : place][:20]!r}"
            )
        if not last and not rendered["marked"] and not answered.startswith(text[:stop]):
            raise NotExact("it writes an assistant's turn differently when more turns follow")
        if turn.text.strip() not in text[start:stop]:
            raise NotExact("it does not write the assistant's text as it is")
        return start, stop


def learn(
    source: str,
    name: str,
    variables: Mapping[str, Any],
    date: str,
    added: Sequence[str],
    content: str = "{query}",
    system: str | None = None,
    examples: Sequence[str] = (),
    seconds: float | None = None,
) -> tuple[Chat, Opening]:
    """Try a template: what ends a turn, what stands around a question (`content` with {query} is the user's
    text), what it trims.

    `added`: the texts of the tokenizer's added tokens. TemplateFault names the template and what it cannot
    do.
    """
    trial = Chat(
        ChatFacts(source, "\0", variables, date, system=system, examples=tuple(examples)), name, seconds
    )
    try:
        return _learn(trial, name, added, content, seconds)
    except (Refused, NotExact) as fault:
        way_out = (
            "give another as template.jinja, or write the prompt out with template.prompt and chat: false"
        )
        raise TemplateFault(
            f"template.chat: the chat template of {name} cannot be used: {fault}; {way_out}"
        ) from fault


def _learn(
    trial: Chat, name: str, added: Sequence[str], content: str, seconds: float | None
) -> tuple[Chat, Opening]:
    def text(*turns: str) -> str:
        return trial.text(_said(*turns))

    question = content.replace("{query}", QUERY)
    asked, answered = text(question), text(question, REPLY)
    if asked.count(QUERY) != 1 or answered.count(REPLY) != 1 or answered.count(QUERY) != 1:
        raise NotExact("it does not show question and answer exactly once")
    if asked != text(question) or answered != text(question, REPLY):
        raise NotExact("it writes the same turns differently each time")
    if not answered.startswith(asked):
        raise NotExact("with add_generation_prompt it does not open the assistant's turn as it writes one")
    before, _, after = asked.partition(QUERY)
    lead, _, behind = answered[len(asked) :].partition(REPLY)
    specials = re.compile(
        "|".join(map(re.escape, sorted(filter(None, added), key=len, reverse=True))) or "(?!)"
    )
    ends = specials.search(behind)
    if ends is None:
        raise NotExact("it writes no special token behind the assistant's text, so nothing could end a turn")
    opens = next(
        (match.group() for match in specials.finditer(lead) if _opens(match.group(), answered, asked)), None
    )
    if opens is not None:
        raise NotExact(
            f"add_generation_prompt does not open the assistant's turn: {opens!r} stands between it and the "
            f"answer"
        )
    trims = (
        *_trimmed(text(content.replace("{query}", f" \n{QUERY}\n ")), QUERY),
        *_trimmed(text(question, f" \n{REPLY}\n "), REPLY),
    )
    facts = replace(trial.facts, end=ends.group(), trims=trims)
    chat = Chat(facts, name, seconds)
    chat.write(_said(question, REPLY))
    return Chat(replace(facts, every=_every(chat, question)), name, seconds), Opening(
        before, after, lead, behind[: ends.start()]
    )


def _opens(token: str, answered: str, asked: str) -> bool:
    """Returns whether a token before the answer is one that opens turns, since it stands before the question
    as well.
    """
    return token in answered[: answered.index(QUERY)] or token in asked


def _every(chat: Chat, question: str) -> str:
    """Empty where every turn of the assistant can be learnt, or why not."""
    try:
        written = chat.write(_said(question, REPLY, THEN, LAST), "every")
    except (NotExact, Refused) as fault:
        return str(fault)
    return "" if len(written.learnt) == 2 else "it leaves out an earlier turn"


def _said(*texts: str) -> Conversation:
    roles = ("user", "assistant") * len(texts)
    return Conversation(tuple(Turn(role, text) for role, text in zip(roles, texts, strict=False)))  # type: ignore[arg-type]


def _trimmed(text: str, mark: str) -> tuple[bool, bool]:
    return not text.partition(mark)[0].endswith(" \n"), not text.partition(mark)[2].startswith("\n ")
