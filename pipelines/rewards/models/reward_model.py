"""A Bradley-Terry reward model, or the mean of several, as a judge (dpo_vs_ppo.md 3.1, 3.3 and 5.1.3).

It scores the sampled token ids; the text, read anew, where its tokenizer is another than the policy's. A
response truncated at the token limit gets score 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from pipelines.models.conversation import Conversation
from pipelines.models.packing import Segment, can_share, cut
from pipelines.models.placement import Placement
from pipelines.models.policy import context_size
from pipelines.models.score_head import load, score_ends
from pipelines.models.tokenizer import Tokens
from pipelines.rewards.judge import Judge, JudgeContext, Question, Response
from pipelines.rewards.models.reward_model_params import RewardModelParams
from pipelines.rewards.scoring import limit_errors
from pipelines.rewards.verdict import Verdict, error, wrong

PREFLIGHT_PROBLEMS = 8  # to which the preflight scores an empty answer


def post_process(output: float, options: RewardModelParams) -> float:
    """Returns clip((output - bias) * scale, -clip, clip) (dpo_vs_ppo.md 3.3)."""
    return max(-options.clip, min(options.clip, (output - options.bias) * options.scale))


class RewardModelJudge:
    """A judge over a reward model or an ensemble. `end`: id of the end token; `budget`: tokens per forward
    pass, which changes scores by rounding only. `reader`: the model's own contract, where it reads the
    text of a response because the policy's ids mean nothing to it. The model is moved to the placement's
    device at its first use.
    """

    deterministic, rule = False, False

    def __init__(
        self,
        model: Any,
        end: int,
        options: RewardModelParams,
        placement: Placement,
        budget: int,
        reader: Tokens | None = None,
    ) -> None:
        self.model, self.reader = model, reader
        self._end, self._options, self._placement, self._budget = end, options, placement, budget

    def judge(self, responses: Sequence[Response]) -> list[Verdict]:
        """Returns one verdict per response, in order: right where the score is above the threshold. Truncated
        responses are wrong with score 0; a score that is not finite, and a response longer than the model's
        context, are errors.
        """
        verdicts = [wrong("cut off before the end")] * len(responses)
        limit, scored = context_size(self.model), dict[int, Segment]()
        for index, response in enumerate(responses):
            if not response.finished:
                continue
            try:
                row = self._row(response)
            except ValueError as fault:
                verdicts[index] = error(f"the reward model's tokenizer cannot read it: {fault}")
                continue
            length = len(row.context[0]) + len(row.ids)
            if length > limit:
                verdicts[index] = error(
                    f"prompt and response have {length} tokens, the reward model's context {limit}"
                )
            else:
                scored[index] = row
        for index, output in zip(scored, self._outputs(list(scored.values())), strict=True):
            verdicts[index] = self._verdict(output)
        return verdicts

    def _row(self, response: Response) -> Segment:
        """Prompt and response as the model reads them. Raises ValueError where its tokenizer cannot."""
        record, reader = response.record, self.reader
        if reader is None:
            return Segment((tuple(record.prompt_ids),), response.ids)
        turns = getattr(record, "conversation", None)
        if turns is None or reader.chat is None:
            prompt, answer = reader.encode_prompt(record.prompt), reader.encode_response(response.text)
            return Segment((tuple(prompt),), tuple(answer))
        answered = Conversation.from_json(turns).prompt.answer(response.text)
        encoded = reader.encode_conversation(answered)
        return Segment((tuple(encoded.prompt_ids),), tuple(encoded.response_ids or ()))

    def preflight(self, records: Sequence[Question]) -> None:
        """Raises CheckerFailed where the score of an empty answer to one of some prompts is not finite."""
        shown = records[:: max(1, len(records) // PREFLIGHT_PROBLEMS)][:PREFLIGHT_PROBLEMS]
        limit_errors(self.judge([Response(record, (self._end,), "", True) for record in shown]), 0.0)

    def _outputs(self, rows: Sequence[Segment]) -> list[float]:
        if self.model.device != self._placement.device:
            self.model.to(self._placement.device)
        scores = [0.0] * len(rows)
        with torch.no_grad(), self._placement.autocast():
            for group in cut(rows, self._budget, can_share(self.model)):
                outputs = score_ends(self.model, [rows[index] for index in group])
                for index, output in zip(group, outputs.tolist(), strict=True):
                    scores[index] = output
        return scores

    def _verdict(self, output: float) -> Verdict:
        if not math.isfinite(output):
            return error(f"the reward model gives {output}")
        score = post_process(output, self._options)
        passed = score > self._options.threshold
        return Verdict("right" if passed else "wrong", score, "" if passed else f"scored {score:.4g}")


def make_judge(options: RewardModelParams, context: JudgeContext) -> Judge:
    """Returns a judge over the reward model in `context.folder`, whatever its tokenizer."""
    model, tokens = load(context.folder, context.trust_remote_code)
    reader = None if context.tokens is None or tokens.digest == context.tokens.digest else tokens
    return RewardModelJudge(model, tokens.end_id, options, context.placement, context.budget, reader)
