"""Options of generative verifiers: prompt and labels, how label probabilities become a reward, and the model
that answers: one distilled by a run, a Hugging Face chat model, or one behind an OpenAI-compatible endpoint.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from pipelines.rewards.generative.prompt import JudgePrompt, default_template
from pipelines.settings import Choice, Settings
from pipelines.sources.source_params import Named, Outside, check_revision


class AskingParams(Settings):
    """Prompt and labels of a verifier; they must be those that it was trained with."""

    positive: tuple[str, ...] = Field(
        ("1", " 1"), min_length=1, description="spellings of the label for right; those of one token count"
    )
    negative: tuple[str, ...] = Field(
        ("0", " 0"), min_length=1, description="spellings of the label for wrong"
    )
    template: str = Field(
        default_factory=lambda given: default_template(
            *(given.get(side, ("",))[0].strip() for side in ("positive", "negative"))
        ),
        description=(
            "holds {candidate} and {key} once each; {question} may be left out. By default it asks for the "
            "first spellings"
        ),
    )
    marks: tuple[str, str] = Field(
        ("<<<", ">>>"), description="stand around the candidate's text, in which they are disarmed"
    )
    max_tokens: int = Field(
        4096,
        ge=8,
        description=(
            "of the prompt; the question is shortened from its start to fit, the candidate and the key never "
            "are"
        ),
    )

    @property
    def prompt(self) -> JudgePrompt:
        return JudgePrompt(self.template, self.marks)

    @model_validator(mode="after")
    def _usable(self) -> Self:
        self.prompt  # noqa: B018 - raises ValueError for a template that cannot be filled
        named = self.named(self.template)
        if len(named) == 1:
            other = "negative" if named == {"positive"} else "positive"
            raise ValueError(
                f"template asks for the {named.pop()} label and not for the {other} one, of which only "
                f"{list(getattr(self, other))} "
                "is read: name both as they stand in positive and negative, or neither"
            )
        return self

    def named(self, text: str) -> set[str]:
        """Returns the sides of which a spelling is a word of `text`."""
        words = re.sub(r"\{(?:question|candidate|key)\}", " ", text)
        spellings_of = {"positive": self.positive, "negative": self.negative}
        return {
            side
            for side, spellings in spellings_of.items()
            if any(_stands(spelling.strip(), words) for spelling in spellings)
        }


def _stands(word: str, text: str) -> bool:
    return bool(word) and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None


class ReadingParams(Choice):
    """How label probabilities become verdicts (reward_bridge.md 2.2, 3.1)."""

    form: Literal["binary", "soft", "paper"] = Field(
        "soft", description="of the reward; paper: equation 4, which pays for leak"
    )
    votes: int = Field(
        1,
        ge=1,
        le=101,
        description="1: the likelier label; more: as many are drawn, and half of them are enough",
    )
    temperature: float | None = Field(
        None, gt=0, description="of the log-odds; null: the one that was fitted when the verifier was trained"
    )
    threshold: float = Field(
        0.5, ge=0, le=1, description="a soft probability above it counts as right in figures of accuracy"
    )
    max_leak: float = Field(
        0.05,
        ge=0,
        le=1,
        description="an answer with more probability than this outside of the labels is unparsed: error",
    )
    prefilter: bool = Field(
        True, description="lines without letter or digit and bare opening phrases are wrong without asking"
    )
    cache: int = Field(200_000, ge=0, description="judged (question, key, last line) that are remembered")
    preflight: bool = Field(
        True, description="refuse a verifier that misjudges most known cases; false only to study a bad one"
    )

    @model_validator(mode="after")
    def _votes_are_binary(self) -> Self:
        if self.votes > 1 and self.form != "binary":
            raise ValueError("votes above 1 give a binary reward; set form: binary")
        return self


class VerifierParams(ReadingParams):
    """A distilled verifier; its prompt and labels are those in its verifier.json."""

    model_is_run: ClassVar[bool] = True
    kind: Literal["verifier"] = "verifier"
    model: str = Field("verifier", min_length=1, description="the run that trained it: a folder of models/")


class ChatAskingParams(AskingParams):
    """Prompt and labels of a chat model, by default those of published verifiers (reward_bridge.md 2.1)."""

    system: str = Field("You are a helpful assistant.", description="system message; empty: none")
    positive: tuple[str, ...] = Field(
        ("YES", "Yes", "yes", " YES", " Yes", " yes"),
        min_length=1,
        description="spellings of the label that says right",
    )
    negative: tuple[str, ...] = Field(
        ("NO", "No", "no", " NO", " No", " no"),
        min_length=1,
        description="spellings of the label that says wrong",
    )

    @model_validator(mode="after")
    def _asks_for_what_is_read(self) -> Self:
        missing = {"positive", "negative"} - self.named(f"{self.system}\n{self.template}")
        if missing:
            labels = "; ".join(f"{side}: {list(getattr(self, side))}" for side in sorted(missing))
            raise ValueError(
                f"template does not tell the model to answer with the labels that are read ({labels}): an "
                f"obedient model would be misread. "
                "Name them in the template, set positive and negative to what it asks for, or leave the "
                "template out"
            )
        return self


class ChatVerifierParams(ReadingParams):
    """A verifier or teacher by Hugging Face id or local path. Its chat template is applied with the
    generation prompt.
    """

    kind: Literal["chat_verifier"] = "chat_verifier"
    model: Annotated[Named, Outside("model")] = Field(
        description=(
            "path of a folder with tokenizer, or a .gguf file; Hugging Face id, or {path|hub|package: …}"
        )
    )
    revision: str | None = Field(
        None, description="commit, tag or branch of the id; what is no commit is pinned when fetched"
    )
    asking: ChatAskingParams = ChatAskingParams()

    @model_validator(mode="after")
    def _revision(self) -> ChatVerifierParams:
        check_revision(self.model, self.revision, "model")
        return self


class EndpointParams(ReadingParams):
    """A verifier or teacher served by vLLM, llama.cpp, Ollama or the like. The result's identity includes the
    model's name and the template, not its weights: pin the model.
    """

    kind: Literal["endpoint"] = "endpoint"
    url: str = Field("http://127.0.0.1:8000/v1", description="base of the API; /chat/completions is added")
    model: str = Field(min_length=1, description="name that the server knows the model by, with its version")
    key_variable: str | None = Field(
        None, description="environment variable that holds the key; the key itself never stands in a file"
    )
    allow_remote: bool = Field(
        False, description="send questions and answers to another machine than this one"
    )
    timeout_s: float = Field(60.0, gt=0, description="for one answer")
    tries: int = Field(
        4, ge=1, le=20, description="for one answer, with growing pauses; then it is an error verdict"
    )
    parallel: int = Field(8, ge=1, le=256, description="requests at once")
    asking: ChatAskingParams = ChatAskingParams()

    @property
    def on_this_machine(self) -> bool:
        return _loopback(urlsplit(self.url).hostname or "")

    @model_validator(mode="after")
    def _stays_here(self) -> EndpointParams:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url {self.url!r} is no http or https address")
        if parts.username or parts.password:
            raise ValueError("url holds credentials; name an environment variable in key_variable instead")
        if not self.allow_remote and not _loopback(parts.hostname):
            raise ValueError(
                f"url {self.url!r} is another machine: questions and answers would leave this one; set "
                f"allow_remote: true if so"
            )
        return self


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
