"""Take a Hugging Face tokenizer into the contract: a padding token that is not EOS, and its chat template.

Many published tokenizers pad with EOS, which would hide the end of every response from the loss; here that is
repaired or refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from pipelines.models.loading import load_tokenizer
from pipelines.models.template import Template
from pipelines.models.tokenizer import Tokens
from pipelines.models.tokenizer_contract import PAD, resolve_chat, write_contract
from pipelines.models.tokenizer_params import PretrainedTokenizer, TemplateParams
from pipelines.sources.opening import Opener


def fetch(
    params: PretrainedTokenizer, template: TemplateParams | None, folder: Path, open_source: Opener
) -> Tokens:
    """Write the tokenizer of `params.id` with its contract into `folder`; a template of None is its own chat
    template, where it brings one. SourceError names the way out when it is not at hand.
    """
    with open_source(params.id, "tokenizer", params.revision) as source:
        loaded = load_tokenizer(source, use_fast=True)
        chosen = template or TemplateParams(chat=bool(loaded.chat_template))
        return _write(loaded, source.shown, params, chosen, folder)


def _write(
    loaded: Any, shown: str, params: PretrainedTokenizer, template: TemplateParams, folder: Path
) -> Tokens:
    if not loaded.is_fast:
        raise ValueError(
            f"tokenizer.id {shown} has no fast tokenizer (tokenizer.json); convert it with transformers first"
        )
    _choose_pad(loaded, params, shown)
    if template.jinja:
        loaded.chat_template = template.jinja
    loaded.save_pretrained(str(folder))
    if template.bos and loaded.bos_token_id is None:
        raise ValueError(f"template.bos: the tokenizer {shown} has no BOS; set bos: false")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    resolved, chat = Template.of(template.prompt, template.response, template.bos), None
    if template.chat:
        resolved, chat = resolve_chat(
            template, _chat_source(loaded, shown), shown, _specials(loaded), tokenizer
        )
    return write_contract(
        folder,
        tokenizer,
        resolved,
        loaded.pad_token_id,
        loaded.eos_token_id,
        loaded.bos_token_id,
        template.stop,
        chat,
    )


def _choose_pad(loaded: Any, params: PretrainedTokenizer, shown: str) -> None:
    if loaded.eos_token_id is None:
        raise ValueError(f"tokenizer.id {shown} has no EOS token: a response could never end")
    if params.pad != "auto":
        if (
            loaded.convert_tokens_to_ids(params.pad) in (None, loaded.unk_token_id)
            and params.pad != loaded.unk_token
        ):
            raise ValueError(
                f"tokenizer.pad {params.pad!r} is no token of {shown}; special ones: "
                f"{', '.join(loaded.all_special_tokens)}"
            )
        loaded.pad_token = params.pad
    elif loaded.pad_token_id in (None, loaded.eos_token_id):
        if loaded.unk_token_id not in (None, loaded.eos_token_id):
            loaded.pad_token = loaded.unk_token
        else:
            loaded.add_special_tokens({"pad_token": PAD})
    if loaded.pad_token_id == loaded.eos_token_id:
        raise ValueError(
            f"tokenizer.pad {loaded.pad_token!r} is EOS: the end of a response would be masked; name another "
            f"token, or auto"
        )


def _chat_source(loaded: Any, id: str) -> str:
    """Returns the template as Jinja text; of several named ones the default of transformers."""
    if not loaded.chat_template:
        raise ValueError(
            f"template.chat: the tokenizer {id} has no chat template; set chat: false and write the prompt "
            f"out, or give template.jinja"
        )
    source: str = loaded.get_chat_template()
    return source


def _specials(loaded: Any) -> dict[str, str]:
    """Returns the variables that transformers passes to a template besides the turns: bos_token, eos_token
    and the like.
    """
    return {name: str(token) for name, token in loaded.special_tokens_map.items() if isinstance(token, str)}
