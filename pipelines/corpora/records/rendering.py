"""An example as token ids: the prompt template applied to a question, or the chat template to its turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from pipelines.corpora.records.example import Example
from pipelines.corpora.records.record import Record
from pipelines.models.chat import Loss
from pipelines.models.chat_renderer import TemplateFault
from pipelines.models.conversation import Conversation
from pipelines.models.tokenizer import Tokens

TEXTS = tuple(item.name for item in fields(Example))


@dataclass(frozen=True)
class Ids:
    """`prompt`, `response`: token ids; `response` None where there is no demonstration. `earlier`: spans of
    `prompt` that are trained on as well.
    """

    prompt: list[int]
    response: list[int] | None
    earlier: list[list[int]]


@dataclass(frozen=True)
class NotEncodable:
    """An example that gives no record: where it is, and the reason."""

    where: str
    reason: str


def record_of(example: Example, tokens: Tokens, answers: bool = False) -> Record | NotEncodable:
    """Returns the record of an example, or why there is none, as `row_of`."""
    row = row_of(example, tokens, answers)
    return row if isinstance(row, NotEncodable) else with_ids(example, row)


def row_of(
    example: Example, tokens: Tokens, answers: bool = False
) -> tuple[list[int], list[int], list[int]] | NotEncodable:
    """Returns prompt ids, response ids and the borders of earlier turns, as `with_ids` takes them; or why
    there are none. With `answers` the reference answer must be encodable too. Raises TemplateFault where the
    template itself fails.
    """
    try:
        if answers and (reason := tokens.reason_against(example.answer)):
            raise ValueError(reason)
        ids = ids_of(example, tokens)
    except TemplateFault:
        raise
    except ValueError as fault:
        return NotEncodable(f"{example.id} ({example.prompt[:40]!r})", str(fault))
    return ids.prompt, ids.response or [], [border for span in ids.earlier for border in span]


def with_ids(example: Example, ids: Sequence[list[int]]) -> Record:
    """Returns the record of an example and its ids: prompt, response (empty where there is none) and the
    borders of earlier turns that are trained on, start and stop alternating.
    """
    texts = {name: getattr(example, name) for name in TEXTS}
    prompt, response, borders = ids
    spans = [list(span) for span in zip(borders[::2], borders[1::2], strict=True)]
    return Record(
        **texts,
        prompt_ids=prompt,
        response_ids=None if example.response is None else response,
        loss_spans=spans,
    )


def ids_of(example: Example, tokens: Tokens) -> Ids:
    """Returns the token ids of an example. Raises ValueError with the reason: a special token in a text,
    turns that the template refuses, or turns of the assistant that cannot be located in the rendered text.
    """
    turns = None if example.conversation is None else Conversation.from_json(example.conversation)
    if example.loss == "text":
        return _text(example.prompt, tokens)
    if turns is not None and tokens.chat is not None:
        encoded = tokens.encode_conversation(turns, example.loss)
        return Ids(encoded.prompt_ids, encoded.response_ids, encoded.earlier)
    if turns is not None:
        _without_template(turns, example.loss)
    for text in (example.prompt, example.response or ""):
        if reason := tokens.reason_against(text):
            raise ValueError(reason)
    return Ids(
        tokens.encode_prompt(example.prompt),
        None if example.response is None else tokens.encode_response(example.response),
        [],
    )


def prompt_and_answers(
    prompt: str, turns: Conversation | None, answers: Sequence[str], tokens: Tokens
) -> tuple[list[int], list[list[int]]]:
    """Returns the ids of a prompt and of answers to it. Raises ValueError as `ids_of` does."""
    if turns is not None and tokens.chat is not None:
        prompt_ids = tokens.encode_conversation(turns).ids
        answer_ids = []
        for answer in answers:
            encoded = tokens.encode_conversation(turns.answer(answer))
            if encoded.prompt_ids != prompt_ids or encoded.response_ids is None:
                raise ValueError("the chat template writes the prompt differently before an answer")
            answer_ids.append(encoded.response_ids)
        return prompt_ids, answer_ids
    for text in (prompt, *answers):
        if reason := tokens.reason_against(text):
            raise ValueError(reason)
    return tokens.encode_prompt(prompt), [tokens.encode_response(answer) for answer in answers]


def _without_template(turns: Conversation, loss: Loss) -> None:
    """Raises ValueError where turns cannot be joined to one text, as they are without a chat template: with
    more than one turn to train on, or with tools.
    """
    trained = sum(turn.role == "assistant" for turn in turns.turns[loss if isinstance(loss, int) else 0 :])
    if loss != "last" and trained > 1 and turns.answered:
        raise ValueError(
            f"{trained} turns of the assistant are to be learnt and template.chat is false: set it to true "
            f"(with template.jinja where the "
            "tokenizer has no chat template), or the source's loss to last"
        )
    if turns.tools or any(turn.role == "tool" or turn.more.get("tool_calls") for turn in turns.turns):
        raise ValueError("it uses tools and template.chat is false: only a chat template can write them")


def _text(text: str, tokens: Tokens) -> Ids:
    """Returns the ids of a text that is all trained on, its end included, except the first token, which
    nothing precedes.
    """
    if reason := tokens.reason_against(text):
        raise ValueError(reason)
    ids = [*([] if tokens.bos_id is None else [tokens.bos_id]), *tokens.encode_text(text), tokens.eos_id]
    return Ids(ids[:1], ids[1:], [])
