"""A contract's written-out template as a Jinja chat template, for programs that know nothing else."""

from __future__ import annotations

import json

from pipelines.models.tokenizer import Tokens


def chat_template_of(tokens: Tokens) -> str:
    """Returns the model's own chat template; where it has none, one that writes a question as `encode_prompt`
    does. Turns of a system or tools are refused by it.
    """
    if tokens.chat is not None:
        return tokens.chat.facts.source
    template = tokens.template
    bos = tokens.bos_id if template.bos else None
    opening = "" if bos is None else tokens.tokenizer.id_to_token(bos) or ""
    end = tokens.tokenizer.id_to_token(tokens.end_id) or ""
    return (
        f"{{{{ {_quoted(opening)} }}}}"
        "{% for message in messages %}"
        "{% if message.role == 'user' %}"
        f"{{{{ {_quoted(template.before)} + message.content + {_quoted(template.after)} }}}}"
        "{% elif message.role == 'assistant' %}"
        f"{{{{ {_quoted(template.lead)} + message.content + {_quoted(template.tail + end)} }}}}"
        "{% else %}"
        "{{ raise_exception('this model reads questions and answers, no turn of a ' + message.role) }}"
        "{% endif %}{% endfor %}"
    )


def _quoted(text: str) -> str:
    """Returns the text as a string of Jinja, whose escapes are Python's."""
    return json.dumps(text, ensure_ascii=False)
