"""Parameters of a generative verifier: its prompt and labels (saved with the model), and how label
probabilities become a reward.
"""

from __future__ import annotations

import re
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipelines.rewards.generative.prompt import JudgePrompt, default_template
from pipelines.settings import Choice, Settings


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
