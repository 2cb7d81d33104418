"""A checkpoint ready to be asked: a model folder with its contract, on a device."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.inference.decoding import Decoder
from pipelines.inference.prompts import Asked, encode
from pipelines.inference.text_stream import TextStream
from pipelines.models import policy
from pipelines.models.loading import load_model
from pipelines.models.placement import Placement
from pipelines.models.tokenizer import Tokens
from pipelines.rollouts.counter import child_key, root_key
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.rollouts.forest import Completion, Finish
from pipelines.rollouts.rollout_params import SamplingParams

CAUSAL = ("ForCausalLM", "LMHeadModel")
ASKING = -1  # the iteration of these draws: training counts from 0


@dataclass(frozen=True)
class Reply:
    """A response without what ends it. `ids` holds that too; `finish` is stop (the model ended it), length
    (the limit of new tokens) or context (no room left).
    """

    text: str
    ids: list[int]
    finish: str

    @property
    def finished(self) -> bool:
        return self.finish == "stop"


def finish_word(finish: Finish) -> str:
    """Returns why a response ended, as `Reply.finish` says it."""
    return "stop" if finish.complete else "length" if finish == Finish.CAP else "context"


@dataclass
class Checkpoint:
    """`model` in evaluation mode on the placement's device, `tokens` its contract. Replies depend on prompt,
    seed and sampling alone: not on other prompts, nor on what was asked before.
    """

    folder: Path
    model: Any
    tokens: Tokens
    placement: Placement

    @cached_property
    def engine(self) -> LocalEngine:
        return LocalEngine(self.model, self.tokens, self.placement)

    @cached_property
    def decoder(self) -> Decoder:
        return Decoder(self.model, self.tokens, self.placement)

    @property
    def context(self) -> int:
        """Tokens of prompt and response together, at most."""
        return policy.context_size(self.model)

    def generate(
        self, prompts: Sequence[Asked], sampling: SamplingParams, seed: int = 0, samples: int = 1
    ) -> list[list[Reply]]:
        """Returns `samples` replies to each prompt, a question or a conversation. Raises ValueError for a
        prompt that the model's tokenizer or template cannot write, or that leaves no room.
        """
        if isinstance(prompts, str):  # a sequence of letters, for Python
            raise ValueError(f"prompts must be a list: generate([{prompts[:40]!r}], …)")
        return self.generate_ids([encode(prompt, self.tokens) for prompt in prompts], sampling, seed, samples)

    def generate_ids(
        self, prompts: Sequence[list[int]], sampling: SamplingParams, seed: int = 0, samples: int = 1
    ) -> list[list[Reply]]:
        """The same for the token ids of prompts."""
        keys = [[reply_key(ids, seed, index) for index in range(samples)] for ids in prompts]
        families = self.engine.generate(prompts, keys, sampling)
        return [[self._reply(completion) for completion in family] for family in families]

    def stream(self, prompt: Asked, sampling: SamplingParams, seed: int = 0) -> Iterator[str]:
        """Yields the text of the reply that `generate` gives, as it is drawn."""
        ids = encode(prompt, self.tokens)
        written = TextStream(self.tokens)
        for step in self.decoder.stream(ids, reply_key(ids, seed), sampling):
            if text := written.push(step.id):
                yield text
        if text := written.finish():
            yield text

    def _reply(self, completion: Completion) -> Reply:
        return Reply(self.tokens.decode(completion.ids), completion.ids, finish_word(completion.finish))


def reply_key(ids: Sequence[int], seed: int, index: int = 0) -> int:
    """Returns the counter key of a prompt's reply number `index`."""
    return child_key(root_key(seed, ASKING, ",".join(map(str, ids))), index)


def load(place: Path, placement: Placement, trust_remote_code: bool = False) -> Checkpoint:
    """Returns the model of a folder that a stage wrote, or of a folder or .gguf file from elsewhere: there
    the contract is made of its tokenizer and chat template. Raises ValueError or FileNotFoundError, naming
    what is wrong.
    """
    if place.suffix == ".gguf" and place.is_file():
        model, tokens = _from_elsewhere(place, trust_remote_code)
    else:
        _check_writes_text(place)
        if (place / "tokens.json").is_file():
            model, tokens = policy.load(place, trust_remote_code=trust_remote_code)
        else:
            model, tokens = _from_elsewhere(place, trust_remote_code)
    model.eval()
    return Checkpoint(place, model.to(placement.device), tokens, placement)


def _check_writes_text(folder: Path) -> None:
    try:
        named = json.loads((folder / "config.json").read_text("utf-8")).get("architectures") or []
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"{folder} holds no config.json: it is no folder of a language model, and no .gguf file"
        ) from None
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{folder}/config.json is damaged ({error}); restore it") from error
    if named and not any(str(name).endswith(CAUSAL) for name in named):
        raise ValueError(
            f"{folder} holds a {named[0]}, which writes no text; `whetstone judge` asks such models"
        )


def _from_elsewhere(place: Path, trust_remote_code: bool) -> tuple[Any, Tokens]:
    """Returns the model and the contract of a folder without tokens.json, or of a .gguf file."""
    from transformers import AutoModelForCausalLM

    from pipelines.models.loading import load_tokenizer
    from pipelines.models.tokenizer_params import PretrainedTokenizer, TemplateParams
    from pipelines.models.tokenizer_training import make_tokens
    from pipelines.sources.opening import unrecorded

    with unrecorded(str(place), "model") as source, tempfile.TemporaryDirectory() as made:
        chat = bool(load_tokenizer(source, trust_remote_code).chat_template)
        template = TemplateParams(prompt="{query}", chat=chat)
        tokenizer = PretrainedTokenizer(kind="pretrained", id=str(place))
        tokens = make_tokens(tokenizer, template, [], Path(made))
        model = load_model(AutoModelForCausalLM, source, trust_remote_code=trust_remote_code)
    rows = model.get_input_embeddings().weight.shape[0]
    if max(tokens.stop_ids) >= rows:
        raise ValueError(
            f"{place}: {rows} embedding rows do not hold the ids {tokens.stop_ids} that end a text"
        )
    return policy.without_dropout(model), tokens
