"""The distilled verifier: a model of this pipeline trained to write one label; `verifier.json` beside its
weights holds prompt, labels and temperature.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.models import policy
from pipelines.models.placement import Placement
from pipelines.models.policy import context_size
from pipelines.models.tokenizer import Tokens
from pipelines.rewards.generative.labels import LabelTokens, find_labels
from pipelines.rewards.generative.model_labels import read_labels
from pipelines.rewards.generative.prompt import without_tokens
from pipelines.rewards.generative.reading import LabelProbabilities
from pipelines.rewards.generative.verifier_judge import JudgeQuery, VerifierJudge
from pipelines.rewards.judge import Judge, JudgeContext
from pipelines.rewards.models.options import AskingParams, VerifierParams

FACTS = "verifier.json"


@dataclass(frozen=True)
class VerifierPrompt:
    """The prompt of a verifier as token ids of its tokenizer, and the labels that may follow it."""

    settings: AskingParams
    tokens: Tokens
    labels: LabelTokens
    lead: tuple[int, ...]  # what the template writes before a response's first word

    @classmethod
    def of(cls, settings: AskingParams, tokens: Tokens) -> VerifierPrompt:
        """Raises ValueError where a label is not one token."""
        lead = tuple(tokens.encode_response("")[:-1])
        labels = find_labels(
            settings.positive,
            settings.negative,
            lambda spelling: _after(lead, tokens.encode_response(spelling)[:-1]),
        )
        return cls(settings, tokens, labels, lead)

    def ids(self, ask: JudgeQuery, context: int) -> tuple[int, ...] | str:
        """Returns the ids before the label, or the reason why there are none. A long question loses its
        beginning.
        """
        limit = min(self.settings.max_tokens, context - 1) - len(self.lead)
        if reason := self.tokens.reason_against(self.settings.prompt.render("", "", ask.key)):
            return f"the reference {reason}"
        question, candidate = self._clean(ask.question), self._clean(ask.candidate)
        ids = self._encode(question, candidate, ask.key)
        if len(ids) > limit:
            spare = limit - len(self._encode("", candidate, ask.key))
            if spare < 0:
                return (
                    f"candidate and reference have {limit - spare} tokens with the prompt around them, "
                    f"{limit} fit"
                )
            # a token has one character or more: each turn takes at least what is too much
            while len(ids) > limit:
                question = question[max(1, len(ids) - limit) :]
                ids = self._encode(question, candidate, ask.key)
        return (*ids, *self.lead)

    def _encode(self, question: str, candidate: str, key: str) -> list[int]:
        return self.tokens.encode_prompt(
            self.settings.prompt.render(question, candidate, key, self.tokens.specials)
        )

    def _clean(self, text: str) -> str:
        """Removes special tokens, and characters that the tokenizer cannot encode."""
        text = without_tokens(text, self.tokens.specials)
        return (
            text
            if self.tokens.reason_against(text) is None
            else "".join(c for c in text if self.tokens.reason_against(c) is None)
        )


class VerifierLabels:
    """A LabelModel over a model of this pipeline, with packed forward passes of `budget` tokens."""

    def __init__(
        self, model: Any, asking: VerifierPrompt, placement: Placement, budget: int, temperature: float = 1.0
    ) -> None:
        self.model, self.temperature = model, temperature
        self._asking, self._placement, self._budget = asking, placement, budget

    def read(self, asks: Sequence[JudgeQuery]) -> list[LabelProbabilities | str]:
        context = context_size(self.model)
        prompts = [self._asking.ids(ask, context) for ask in asks]
        return read_labels(self.model, prompts, self._asking.labels, self._placement, self._budget)


def save_facts(folder: Path, settings: AskingParams, temperature: float) -> None:
    """Write verifier.json beside the model's weights."""
    facts = {
        "asking": settings.model_dump(mode="json"),
        "digest": settings.prompt.digest,
        "temperature": temperature,
    }
    (folder / FACTS).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", "utf-8")


def load_facts(folder: Path) -> tuple[AskingParams, float]:
    """Returns prompt settings and fitted temperature of the verifier in `folder`. Raises ValueError where
    verifier.json is missing or damaged.
    """
    path = folder / FACTS
    try:
        facts = json.loads(path.read_text("utf-8"))
        settings = AskingParams.model_validate(facts["asking"])
        if facts["digest"] != settings.prompt.digest:
            raise ValueError(
                f"digest {facts['digest']} is not that of its template, {settings.prompt.digest}"
            )
        return settings, float(facts["temperature"])
    except (OSError, KeyError, TypeError, ValueError) as failure:
        raise ValueError(
            f"{path} does not say how this verifier is asked ({failure}); run the verifier stage again"
        ) from failure


def load_labels(
    folder: Path, placement: Placement, budget: int, trust_remote_code: bool = False
) -> VerifierLabels:
    """Loads the verifier in `folder`."""
    settings, temperature = load_facts(folder)
    model, tokens = policy.load(folder, trust_remote_code=trust_remote_code)
    return VerifierLabels(model.eval(), VerifierPrompt.of(settings, tokens), placement, budget, temperature)


def make_judge(options: VerifierParams, context: JudgeContext) -> Judge:
    """Returns a judge over the verifier in `context.folder`."""
    labels = load_labels(context.folder, context.placement, context.budget, context.trust_remote_code)
    return VerifierJudge(labels, options)


def _after(lead: Sequence[int], ids: Sequence[int]) -> Sequence[int]:
    return ids[len(lead) :] if tuple(ids[: len(lead)]) == tuple(lead) else ids
