"""Write the tokenisation contract, tokens.json, beside a tokenizer: its special ids, its stop ids, and the
texts around a question and its answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from pipelines.models.chat import Chat, learn
from pipelines.models.template import Template
from pipelines.models.tokenizer import Tokens, facts_of
from pipelines.models.tokenizer_params import TemplateParams

PAD = "<|pad|>"


def resolve_chat(
    template: TemplateParams, source: str, name: str, specials: Mapping[str, str], tokenizer: Tokenizer
) -> tuple[Template, Chat]:
    """Returns the texts around a question and its answer, and the facts about the chat template `source` of
    `name`. `specials`: its variables bos_token, eos_token and the like. Raises TemplateFault, which names
    what the template cannot do.
    """
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    examples = [text for example in template.examples for text in (example.question, example.answer)]
    variables = {**specials, **template.variables}
    chat, opening = learn(
        source, name, variables, template.date, added, template.prompt, template.system, examples
    )
    lead, _, tail = template.response.partition("{response}")
    return Template(opening.before, opening.after, opening.lead + lead, tail + opening.tail), chat


def write_contract(
    folder: Path,
    tokenizer: Tokenizer,
    template: Template,
    pad: int,
    eos: int,
    bos: int | None,
    stop: Iterable[str],
    chat: Chat | None = None,
) -> Tokens:
    """Write tokens.json beside a tokenizer.json and load both, which checks them. ValueError when a stop text
    is not one token.
    """
    end = eos if chat is None else _id_of(tokenizer, chat.facts.end)
    stop_ids = list(dict.fromkeys([eos, end]))
    for text in stop:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        if len(ids) != 1:
            raise ValueError(
                f"template.stop: {text!r} is {len(ids)} tokens here; only a single token can stop a response"
            )
        stop_ids += [ids[0]] if ids[0] not in stop_ids else []
    size = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    write_json(folder / "tokens.json", facts_of(template, size, pad, eos, bos, stop_ids, chat, end))
    return Tokens.load(folder)


def _id_of(tokenizer: Tokenizer, token: str) -> int:
    token_id = tokenizer.token_to_id(token)
    assert token_id is not None, token
    return int(token_id)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write `value` in the form that the same values always have."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
