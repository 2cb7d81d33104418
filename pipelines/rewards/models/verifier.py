"""The distilled verifier: a model of this pipeline that was trained to write one label, with the facts of how
it is asked beside it.
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
from pipelines.rewards.generative.judge import JudgeQuery, VerifierJudge
from pipelines.rewards.generative.labels import Labels, find_labels
from pipelines.rewards.generative.model_labels import read_labels
from pipelines.rewards.generative.prompt import without_tokens
from pipelines.rewards.generative.reading import LabelProbabilities
from pipelines.rewards.judge import Judge, JudgeContext
from pipelines.rewards.models.verifier_params import AskingParams, VerifierParams

FACTS = "verifier.json"


@dataclass(frozen=True)
class VerifierPrompt:
    """How a verifier with `tokens` is asked: the prompt's ids, and the labels that may follow them."""

    settings: AskingParams
    tokens: Tokens
    labels: Labels
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
        """The ids before the label, or why there are none. A question that is too long loses its
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
        """Special tokens taken out, characters without a token as well: the verifier can say nothing of
        them.
        """
        text = without_tokens(text, self.tokens.specials)
        return (
            text
            if self.tokens.reason_against(text) is None
            else "".join(c for c in text if self.tokens.reason_against(c) is None)
        )


class VerifierLabels:
    """`LabelModel` over a model of this pipeline: packed forwards of `budget` tokens, in which samples of a
    prompt share its cost.
    """

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
    """How the verifier in `folder` is asked, and its fitted temperature. Raises ValueError where
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
    """The verifier in `folder`, ready to be asked."""
    settings, temperature = load_facts(folder)
    model, tokens = policy.load(folder, trust_remote_code=trust_remote_code)
    return VerifierLabels(model.eval(), VerifierPrompt.of(settings, tokens), placement, budget, temperature)


def make_judge(options: VerifierParams, context: JudgeContext) -> Judge:
    """The verifier in the stage's model folder."""
    labels = load_labels(context.folder, context.placement, context.budget, context.trust_remote_code)
    return VerifierJudge(labels, options)


def _after(lead: Sequence[int], ids: Sequence[int]) -> Sequence[int]:
    return ids[len(lead) :] if tuple(ids[: len(lead)]) == tuple(lead) else ids
