"""Make the tokenisation contract: train a small byte-level tokenizer, or take a Hugging Face one, and write
it down with its template.

Only the stage `base` comes here. The result depends on the texts and the parameters alone: the same texts
give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from pipelines.models.template import Template
from pipelines.models.tokenizer import Tokens, byte_symbols
from pipelines.models.tokenizer_contract import PAD, resolve_chat, write_contract, write_json
from pipelines.models.tokenizer_params import (
    BpeTokenizer,
    CharTokenizer,
    PretrainedTokenizer,
    TemplateParams,
    TokenizerParams,
)
from pipelines.sources.opening import Opener, unrecorded

SPECIALS = (PAD, "<|end|>", "<|user|>", "<|assistant|>")
_, EOS, USER, ASSISTANT = SPECIALS
# Digits singly; a word takes the space before it; runs of punctuation; runs of space that leave the last one
# to the word after them.
PIECES = r"\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def make_tokens(
    params: TokenizerParams,
    template: TemplateParams | None,
    pairs: Iterable[tuple[str, str | None]],
    folder: Path,
    open_source: Opener = unrecorded,
) -> Tokens:
    """Write the tokenizer folder and tokens.json into `folder` and load them. `pairs`: training questions
    with their demonstrations, if any; read only when a tokenizer is trained, and then possibly twice. A
    template of None is the chat template of a published tokenizer, where it brings one, else the default.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(params, PretrainedTokenizer):
        # brings transformers: only who needs it pays for it
        from pipelines.models.pretrained_tokenizer import fetch

        return fetch(params, template, folder, open_source)
    template = template or TemplateParams()
    kept = [*pairs] if isinstance(pairs, Iterator) else pairs
    return _write_trained(_train(params, partial(_texts, template, kept)), template, folder)


def _texts(template: TemplateParams, pairs: Iterable[tuple[str, str | None]]) -> Iterator[str]:
    """Yields the texts that the model will read and write, cut at special tokens, which no merge may
    cross.
    """
    resolved = Template.of(template.prompt, template.response)
    cut = re.compile("|".join(map(re.escape, SPECIALS)))
    texts = (
        text
        for question, answer in pairs
        for text in (resolved.prompt(question), *([] if answer is None else [resolved.response(answer)]))
    )
    return (piece for text in texts for piece in cut.split(text) if piece)


def _train(params: CharTokenizer | BpeTokenizer, texts: Callable[[], Iterable[str]]) -> Tokenizer:
    symbols = {byte: symbol for symbol, byte in byte_symbols().items()}
    used = (
        range(256)
        if params.alphabet == "bytes"
        else sorted({byte for text in texts() for byte in text.encode("utf-8")})
    )
    alphabet = [symbols[byte] for byte in used]
    if isinstance(params, CharTokenizer):
        vocab = {token: id for id, token in enumerate([*SPECIALS, *alphabet])}
        tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    else:
        if params.vocab_size < len(alphabet) + len(SPECIALS):
            raise ValueError(
                f"tokenizer.vocab_size {params.vocab_size} is below the {len(alphabet) + len(SPECIALS)} "
                f"single bytes and special tokens"
            )
        marker = "".join(f"\\{c}" if not c.isalnum() and not c.isspace() else c for c in params.marker)
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(f"{marker}|{PIECES}" if marker else PIECES), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        trainer = trainers.BpeTrainer(
            vocab_size=params.vocab_size,
            special_tokens=list(SPECIALS),
            initial_alphabet=alphabet,
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts(), trainer)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    return tokenizer


def _write_trained(tokenizer: Tokenizer, template: TemplateParams, folder: Path) -> Tokens:
    if template.chat and not template.jinja:
        raise ValueError(
            "template.chat needs a chat template, and a trained tokenizer has none: write one as "
            "template.jinja "
            f"(its special tokens are {USER}, {ASSISTANT} and {EOS}), or set chat: false"
        )
    if template.bos:
        raise ValueError(
            "template.bos: a trained tokenizer has no BOS; write <|user|> at the start of template.prompt "
            "instead"
        )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": PAD, "eos_token": EOS, "additional_special_tokens": [USER, ASSISTANT]}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 10**9,
        "unk_token": None,  # else transformers adds the one of the model's family, an id without an embedding
        **names,
    }
    write_json(folder / "tokenizer_config.json", config)
    write_json(folder / "special_tokens_map.json", names)
    resolved, chat = Template.of(template.prompt, template.response), None
    if template.jinja:
        (folder / "chat_template.jinja").write_text(template.jinja, "utf-8")
        special = {"pad_token": PAD, "eos_token": EOS}
        resolved, chat = resolve_chat(template, template.jinja, "template.jinja", special, tokenizer)
    return write_contract(
        folder,
        tokenizer,
        resolved,
        SPECIALS.index(PAD),
        SPECIALS.index(EOS),
        None,
        template.stop,
        chat,
    )
