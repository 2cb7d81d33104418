"""Options of preferences between a model's samples, judged by a rule or by a model."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.preferences.pairing_params import PairingParams, PassFail
from pipelines.settings import JUDGE, Choice, Seam, Settings


class SampleDrawing(Settings):
    """How many tokens are drawn, and how. The defaults are those of dpo_vs_ppo.md 4.2."""

    temperature: float = Field(1.0, gt=0, le=10, description="logits are divided by it")
    top_p: float = Field(
        1.0, gt=0, le=1, description="smallest set of tokens with at least this probability; 1 is off"
    )
    top_k: int = Field(200, ge=0, description="this many most likely tokens; 0 is off")
    max_new_tokens: int = Field(256, ge=1, description="longest response, end token included")


class SampledSafety(Settings):
    """Safety records with both labels: l_h is the checker's verdict, l_s that of a rule on what the answer
    may not say.
    """

    rule: Annotated[Choice, Seam("pipelines.rewards", "is_safe(text, options)")] = Field(
        {"kind": "forbidden"}, validate_default=True, description="what makes an answer unsafe"
    )
    pairs: int = Field(
        2,
        ge=1,
        le=64,
        description="pairs per prompt at most, drawn uniformly among those that a label decides",
    )


class SampledParams(Choice):
    """Samples of the model at `origin` on the corpus' prompts, or a file of samples that were judged
    elsewhere.
    """

    kind: Literal["sampled"] = "sampled"
    file: str | None = Field(
        None,
        description="JSONL of judged samples, relative to origin; null: origin is a model, which is sampled",
    )
    samples: int = Field(4, ge=2, le=1024, description="responses per prompt")
    sampling: SampleDrawing = SampleDrawing()
    prompts: dict[Side, Annotated[int, Field(ge=0)]] = Field(
        {"train": 0, "validation": 0, "heldout": 0},
        min_length=1,
        description="RL, validation and held-out prompts that are sampled; 0: all",
    )
    draw: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="sets with equal numbers draw a prompt's samples with the same random numbers: rounds "
        "take 1, 2, …",
    )
    reward: Annotated[Choice, JUDGE] = Field(
        default_factory=partial(JUDGE.choose, "final_answer"),
        description="what judges the samples: a rule, or a model (the set's `judge`), with its options",
    )
    max_error_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="the stage stops when more verdicts are errors; such samples are left out",
    )
    pairing: PairingParams = Field(
        PassFail(), description="how judged samples become pairs; without meaning where safety is set"
    )
    safety: SampledSafety | None = Field(
        None, description="make safety records of the samples; null: plain pairs"
    )

    @model_validator(mode="after")
    def _train(self) -> SampledParams:
        if self.file is None and "train" not in self.prompts:
            raise ValueError(
                "prompts.train is missing: nothing would be left to train on; 0 takes all RL prompts"
            )
        return self
