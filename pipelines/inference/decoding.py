"""One response token by token, for whoever reads along: the draws of the local engine, without its batch.

With the same key the ids are those that `LocalEngine.generate` draws; only sums of floats may be rounded
otherwise, as a batch has other shapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipelines.models.placement import Placement
from pipelines.models.policy import context_size
from pipelines.models.tokenizer import Tokens
from pipelines.rollouts.counter import key_tensor, uniforms
from pipelines.rollouts.engines.cache import CacheRows
from pipelines.rollouts.engines.draw import draw
from pipelines.rollouts.engines.fused import FusedForward, fusible
from pipelines.rollouts.engines.generic import GenericForward
from pipelines.rollouts.engines.prefill import Forward, Prefiller, group_prefixes
from pipelines.rollouts.forest import Finish
from pipelines.rollouts.rollout_params import SamplingParams

PREFILL_TOKENS = 4096


class Step(NamedTuple):
    """A drawn token. `logprob` (nats) and `top`, the likeliest tokens with theirs, are of the model's own
    distribution, untempered; `finish` is set on the last token.
    """

    id: int
    logprob: float
    top: list[tuple[int, float]]
    finish: Finish | None


class Decoder:
    """Draws from `model`, whose weights must not change meanwhile. Not for several threads at once."""

    def __init__(self, model: Any, tokens: Tokens, placement: Placement) -> None:
        self._model, self._tokens, self._placement = model, tokens, placement
        self._forward: Forward = (
            FusedForward(model, placement.dtype) if fusible(model) else GenericForward(model, placement)
        )

    def stream(self, ids: list[int], key: int, sampling: SamplingParams, top: int = 0) -> Iterator[Step]:
        """Yields the tokens of a response to the prompt `ids` as they are drawn; `key` is its counter key.
        Raises ValueError where the prompt is empty or leaves no room in the model's context.
        """
        context = context_size(self._model)
        if not 0 < len(ids) < context:
            raise ValueError(f"the prompt has {len(ids)} tokens, and the model's context is {context}")
        cap = min(sampling.max_new_tokens, context - len(ids))
        keys = key_tensor([key], self._placement.device)
        logits, rows = self._prefill(ids, cap)
        for position in range(cap):
            drawn, step = self._draw(logits, keys, position, sampling, top)
            if step.id == self._tokens.eos_id:
                finish: Finish | None = Finish.EOS
            elif step.id in self._tokens.stop_ids:
                finish = Finish.STOP
            elif position + 1 == cap:
                finish = Finish.CAP if cap == sampling.max_new_tokens else Finish.CONTEXT
            else:
                finish = None
            yield step._replace(finish=finish)
            if finish is not None:
                return
            logits = self._advance(drawn, rows)

    # inference mode is a thread's, and whoever reads a generator may do so from several

    @torch.inference_mode()
    def _prefill(self, ids: list[int], room: int) -> tuple[Tensor, CacheRows]:
        device = self._placement.device
        prefiller = Prefiller(self._forward, group_prefixes([ids], [[0]]), {}, PREFILL_TOKENS, device)
        state = prefiller.take(0, len(ids))
        none = torch.empty(0, dtype=torch.long, device=device)
        rows = CacheRows.join(None, none, [(state, 1)], room, False, self._forward.by_width)
        return state.logits[None], rows

    @torch.inference_mode()
    def _advance(self, drawn: Tensor, rows: CacheRows) -> Tensor:
        return self._forward.step(drawn, rows)

    @torch.inference_mode()
    def _draw(
        self, logits: Tensor, keys: Tensor, position: int, sampling: SamplingParams, top: int
    ) -> tuple[Tensor, Step]:
        own = torch.log_softmax(logits[0].float(), -1)  # before the draw, which may write into the logits
        drawn, _, _ = draw(logits, uniforms(keys, position), sampling)
        likeliest = own.topk(min(top, len(own))) if top else None
        pairs = zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True) if likeliest else ()
        return drawn, Step(int(drawn), float(own[int(drawn)]), list(pairs), None)
