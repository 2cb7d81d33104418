"""Parameters of the base model: an architecture that is built from scratch, or a Hugging Face id or path;
never both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipelines.models.tokenizer_params import PretrainedTokenizer, TemplateParams, TokenizerParams
from pipelines.settings import Settings
from pipelines.sources.source_params import Named, Outside, check_revision

# every text can be encoded; a model that others are compared with names its own
FROM_SCRATCH = {"kind": "bpe", "vocab_size": 1024, "alphabet": "bytes"}


class ArchitectureParams(Settings):
    """A decoder built from scratch; its vocabulary is the tokenizer's."""

    family: Literal["qwen2", "llama"] = Field(
        "qwen2", description="qwen2 has biases on query, key and value, llama has none"
    )
    hidden_size: int = Field(128, ge=8, description="width of the residual stream")
    intermediate_size: int = Field(256, ge=8, description="width of the gated feed-forward layer")
    layers: int = Field(3, ge=1, description="decoder layers")
    heads: int = Field(4, ge=1, description="query heads; must divide hidden_size")
    kv_heads: int = Field(1, ge=1, description="key and value heads; must divide heads")
    context: int = Field(
        1024, ge=8, description="positions that the model can hold, prompt and response together"
    )
    rope_theta: float = Field(10_000.0, gt=1, description="base of the rotary position encoding")
    tie_embeddings: bool = Field(True, description="one matrix for input and output embeddings")
    initializer_range: float = Field(
        0.02, gt=0, le=1, description="standard deviation of the initial weights"
    )

    @model_validator(mode="after")
    def _shapes(self) -> Self:
        if self.hidden_size % self.heads or (self.hidden_size // self.heads) % 2:
            raise ValueError(
                f"hidden_size {self.hidden_size} divided by heads {self.heads} must be a whole even number"
            )
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads {self.kv_heads} must divide heads {self.heads}")
        return self


class BaseParams(Settings):
    """The `base` section of params.yaml."""

    architecture: ArchitectureParams | None = Field(
        None, description="build a model from scratch; the default one where pretrained is null"
    )
    pretrained: Annotated[Named | None, Outside("model")] = Field(
        None,
        description=(
            "a causal language model: path of a folder or .gguf file, Hugging Face id, or {path|hub|package: "
            "…}"
        ),
    )
    revision: str | None = Field(
        None,
        description="commit, tag or branch of the Hugging Face id; what is no commit is pinned when fetched",
    )
    tokenizer: TokenizerParams | None = Field(
        None,
        description="trained on the run's data, or a published one; null: a pretrained model's own, and for "
        "one from scratch {kind: bpe, vocab_size: 1024, alphabet: bytes}",
    )
    template: TemplateParams | None = Field(
        None,
        description="how a question becomes the text that the model reads; null: by the chat template that a "
        "pretrained model's tokenizer brings, else as `{}` says",
    )
    resize_embeddings: bool = Field(
        False, description="grow a pretrained model's embeddings when the tokenizer holds more ids"
    )

    @model_validator(mode="before")
    @classmethod
    def _tokenizer_from_scratch(cls, value: Any) -> Any:
        if (
            isinstance(value, Mapping)
            and value.get("architecture") is not None
            and value.get("tokenizer") is None
        ):
            return {**value, "tokenizer": FROM_SCRATCH}
        return value

    @model_validator(mode="before")
    @classmethod
    def _template_from_scratch(cls, value: Any) -> Any:
        """A model from scratch knows no chat template, whatever its tokenizer brings."""
        if isinstance(value, Mapping) and value.get("pretrained") is None and value.get("template") is None:
            return {**value, "template": {}}
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.architecture is None) == (self.pretrained is None):
            raise ValueError(
                "give either architecture and data (a model from scratch) or pretrained (a Hugging Face id "
                "or folder); set the other null"
            )
        if self.pretrained is None and (self.revision or self.resize_embeddings):
            raise ValueError(
                "revision and resize_embeddings belong to pretrained; a model from scratch has neither"
            )
        chat = self.template is not None and self.template.chat and not self.template.jinja
        if chat and not self.published_tokenizer:
            raise ValueError(
                "template.chat needs a pretrained tokenizer, or a template of its own as template.jinja; or "
                "set template.chat: false"
            )
        check_revision(self.pretrained, self.revision, "pretrained")
        return self

    @property
    def published_tokenizer(self) -> bool:
        """Whether the tokenizer is one that is taken from outside, and not trained."""
        return self.tokenizer is None or isinstance(self.tokenizer, PretrainedTokenizer)
