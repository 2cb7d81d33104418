"""Which tokenizer a base model gets and how a question becomes a prompt: identity parameters of the
tokenisation contract, which travels with every model folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pipelines.settings import Settings
from pipelines.sources.source_params import Named, Outside, check_revision

Alphabet = Literal["corpus", "bytes"]


class CharTokenizer(Settings):
    """One token per byte of text: nothing to learn, the longest sequences."""

    kind: Literal["char"]
    alphabet: Alphabet = Field(
        "corpus",
        description=(
            "corpus: only what the training texts use, any other character is an error; bytes: all 256"
        ),
    )


class BpeTokenizer(Settings):
    """Byte-level BPE, trained on the training texts of a set; every digit is a token of its own."""

    kind: Literal["bpe"]
    vocab_size: int = Field(
        ge=16,
        le=200_000,
        description="tokens at most, the special ones included; a small corpus may yield fewer",
    )
    alphabet: Alphabet = Field(
        "corpus",
        description=(
            "corpus: only what the training texts use, any other character is an error; bytes: all 256"
        ),
    )
    marker: str = Field(
        "#### ", description="text that is kept in one piece, so that it becomes one token; empty for none"
    )


class PretrainedTokenizer(Settings):
    """The tokenizer of a Hugging Face id or a local folder."""

    kind: Literal["pretrained"]
    id: Annotated[Named, Outside("tokenizer")] = Field(
        description="path of a folder or .gguf file, Hugging Face id, or {path|hub|package: …}"
    )
    revision: str | None = Field(
        None, description="commit, tag or branch of the id; what is no commit is pinned when fetched"
    )
    pad: str = Field(
        "auto",
        description=(
            "padding token; auto: the tokenizer's own unless it is EOS, then its unknown token, else a new "
            "<|pad|>"
        ),
    )

    @model_validator(mode="after")
    def _revision(self) -> PretrainedTokenizer:
        check_revision(self.id, self.revision, "id")
        return self


TokenizerParams = Annotated[CharTokenizer | BpeTokenizer | PretrainedTokenizer, Field(discriminator="kind")]


class ExampleTurns(Settings):
    """A question and its answer that stand before every question, as turns of the user and the assistant."""

    question: str = Field(min_length=1, description="the turn of the user")
    answer: str = Field(min_length=1, description="the turn of the assistant")


class TemplateParams(Settings):
    """How a question becomes the text that the model reads, and a demonstration the text that it should
    write.
    """

    prompt: str = Field(
        "<|user|>{query}<|assistant|>",
        description="prompt text around {query}; special tokens may be written out",
    )
    response: str = Field(
        "{response}",
        description="response text around {response}; EOS, or what ends a turn of the chat, follows it",
    )
    chat: bool = Field(
        False,
        description=(
            "conversations are rendered by the tokenizer's own chat template; `prompt` is then the text of a "
            "question's user turn, `{query}` where it is not said"
        ),
    )
    jinja: str | None = Field(
        None,
        description="a chat template in place of the tokenizer's own, or for one that has none; with chat",
    )
    variables: dict[str, bool | int | float | str] = Field(
        {},
        description=(
            "what the chat template is given beside the turns, such as enable_thinking or date_string"
        ),
    )
    date: str = Field(
        "2024-07-26",
        pattern=r"^\d{4}-\d{2}-\d{2}$",
        description="what a chat template that asks for the date is told: ids must not change",
    )
    system: str | None = Field(None, description="with chat: the system turn of conversations that have none")
    examples: tuple[ExampleTurns, ...] = Field(
        (), description="with chat: turns before every single question (few-shot), never learnt"
    )
    bos: bool = Field(
        False,
        description="put the tokenizer's BOS before the prompt; never with chat, whose text holds it already",
    )
    stop: tuple[str, ...] = Field(
        (), description="tokens, beside EOS and what ends a turn of the chat, that end a response"
    )

    @model_validator(mode="before")
    @classmethod
    def _question_is_a_turn(cls, value: Any) -> Any:
        """With chat a question is its turn as it is: the marks of the default prompt are no part of it."""
        chat = isinstance(value, Mapping) and value.get("chat") is True and "prompt" not in value
        return {**value, "prompt": "{query}"} if chat else value

    @model_validator(mode="after")
    def _places(self) -> TemplateParams:
        if self.prompt.count("{query}") != 1:
            raise ValueError("template.prompt must hold {query} exactly once")
        if self.response.count("{response}") != 1:
            raise ValueError("template.response must hold {response} exactly once")
        if self.chat and self.bos:
            raise ValueError("template.bos with template.chat would write BOS twice; set bos: false")
        alone = [name for name in ("jinja", "variables", "system", "examples") if getattr(self, name)]
        if alone and not self.chat:
            raise ValueError(
                f"template.{alone[0]} belongs to a chat template; set chat: true, or write it into "
                f"template.prompt"
            )
        return self
