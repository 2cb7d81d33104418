"""A Hugging Face chat model as a verifier or teacher, with its own tokenizer and chat template; the label is
read at the first position of its answer.

The template is applied with the generation prompt, without which another token would be read
(reward_bridge.md 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.models.loading import load_model, load_tokenizer
from pipelines.models.placement import Placement
from pipelines.models.policy import context_size
from pipelines.rewards.generative.labels import LabelTokens, find_labels
from pipelines.rewards.generative.model_labels import read_labels
from pipelines.rewards.generative.prompt import without_tokens
from pipelines.rewards.generative.reading import LabelProbabilities
from pipelines.rewards.generative.verifier_judge import JudgeQuery, VerifierJudge
from pipelines.rewards.judge import Judge, JudgeContext
from pipelines.rewards.models.options import ChatAskingParams, ChatVerifierParams


class ChatLabels:
    """A LabelModel over a transformers causal LM and its tokenizer. Raises ValueError where no spelling of a
    label is one token.
    """

    temperature = 1.0

    def __init__(
        self, model: Any, tokenizer: Any, asking: ChatAskingParams, placement: Placement, budget: int
    ) -> None:
        self.model, self._tokenizer, self._asking = model, tokenizer, asking
        self._placement, self._budget = placement, budget
        added = tokenizer.added_tokens_decoder
        self._specials = {
            token.content: id for id, token in added.items() if token.special or not token.content.isalnum()
        }
        self._own = self._special_count(self._encode(self.text(JudgeQuery("", "", ""))))
        self.labels = self._find_labels()

    def read(self, asks: Sequence[JudgeQuery]) -> list[LabelProbabilities | str]:
        prompts = [self._ids(ask) for ask in asks]
        return read_labels(self.model, prompts, self.labels, self._placement, self._budget)

    def text(self, ask: JudgeQuery) -> str:
        """Returns the prompt as text, up to where the verdict begins."""
        messages = [{"role": "system", "content": self._asking.system}] if self._asking.system else []
        messages.append(
            {
                "role": "user",
                "content": self._asking.prompt.render(ask.question, ask.candidate, ask.key, self._specials),
            }
        )
        if getattr(self._tokenizer, "chat_template", None):
            return str(
                self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            )
        return "\n".join(message["content"] for message in messages)

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _ids(self, ask: JudgeQuery) -> tuple[int, ...] | str:
        limit = min(self._asking.max_tokens, context_size(self.model) - 1)
        question = without_tokens(ask.question, self._specials)
        ids = self._encode(self.text(ask))
        while len(ids) > limit and question:  # a token has one character or more
            question = question[max(1, len(ids) - limit) :]
            ids = self._encode(self.text(ask._replace(question=question)))
        if len(ids) > limit:
            return f"candidate and reference have {len(ids)} tokens with the prompt around them, {limit} fit"
        if self._special_count(ids) > self._own:  # a normaliser made them of what is none as text
            ids = self._encode(self.text(JudgeQuery("", "", ask.key)))
        return tuple(ids)

    def _special_count(self, ids: Sequence[int]) -> int:
        known = set(self._specials.values())
        return sum(id in known for id in ids)

    def _find_labels(self) -> LabelTokens:
        prompt = self.text(JudgeQuery("1 + 1 = ?", "2", "2"))
        before = self._encode(prompt)

        def after(spelling: str) -> list[int]:
            ids = self._encode(prompt + spelling)
            added = ids[len(before) :] if ids[: len(before)] == before else []
            # a tokenizer without bytes knows only some spellings
            return [] if self._tokenizer.unk_token_id in added else added

        return find_labels(self._asking.positive, self._asking.negative, after)


def make_judge(options: ChatVerifierParams, context: JudgeContext) -> Judge:
    """Returns a judge over the chat model that the options name."""
    from transformers import AutoModelForCausalLM

    trust = context.trust_remote_code
    with context.open_source(options.model, "model", options.revision) as folder:
        tokenizer = load_tokenizer(folder, trust)
        model = load_model(AutoModelForCausalLM, folder, trust_remote_code=trust).eval()
    return VerifierJudge(
        ChatLabels(model, tokenizer, options.asking, context.placement, context.budget), options
    )
