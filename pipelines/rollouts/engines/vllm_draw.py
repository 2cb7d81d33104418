"""vLLM's sampler replaced by ours: a custom logits processor draws each token with
`pipelines.rollouts.engines.draw` and forces it.

So a vLLM sample comes from the same counter-based uniform as a local one, whatever shares its batch, and its
log-prob and entropy are those of the sampling distribution: vLLM itself would give at most the top few
log-probs, no entropy, and a generator's state per request. Needs vLLM's V1 interface of logits processors and
the engine in this process.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pipelines.rollouts.counter import key_tensor, uniforms
from pipelines.rollouts.engines.draw import draw
from pipelines.rollouts.rollout_params import SamplingParams

ROW = "whetstone_row"  # a request says by this extra argument which row of the buffers it is


class DrawBuffers:
    """What was drawn for the requests of one call: (rows, positions) log-probs and entropies."""

    def __init__(
        self, keys: list[int], positions: int, sampling: SamplingParams, device: torch.device
    ) -> None:
        self._sampling = sampling
        self._counters = key_tensor(keys, device)
        self.logprobs = torch.zeros(len(keys), positions, device=device)
        self.entropy = torch.zeros(len(keys), positions, device=device)

    def force(self, logits: Tensor, rows: list[int], positions: list[int]) -> Tensor:
        """logits (R, V) of `rows` of the buffers, whose next tokens stand at `positions` -> logits whose
        maximum is the drawn token.
        """
        row = torch.tensor(rows, device=logits.device)
        position = torch.tensor(positions, device=logits.device)
        chosen, logprobs, entropy = draw(logits, uniforms(self._counters[row], position), self._sampling)
        self.logprobs[row, position] = logprobs
        self.entropy[row, position] = entropy
        return torch.full_like(logits, float("-inf")).scatter_(1, chosen[:, None], 0.0)


class CurrentCall:
    """The buffers of the call in progress, which the engine sets and the processor inside vLLM reads."""

    buffers: DrawBuffers | None = None


def make_logits_processor(call: CurrentCall) -> type:
    """Returns a class for vLLM's `logits_processors` that draws with the call's buffers."""
    from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
    from vllm.v1.sample.logits_processor.builtin import process_dict_updates

    class Drawn(LogitsProcessor):
        def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
            # place in vLLM's batch -> row of the buffers, ids drawn so far (live)
            self._slots: dict[int, tuple[int, list[int]]] = {}

        def is_argmax_invariant(self) -> bool:
            return False

        def update_state(self, batch_update: BatchUpdate | None) -> None:
            def slot(params: Any, prompt: Any, drawn: list[int]) -> tuple[int, list[int]] | None:
                row = (params.extra_args or {}).get(ROW)
                return None if row is None else (row, drawn)  # None: not ours, vLLM's sampler draws

            process_dict_updates(self._slots, batch_update, slot)

        def apply(self, logits: Tensor) -> Tensor:
            """Returns logits that force the drawn tokens. A request that is still in its prefill has a slot
            as well; vLLM discards its token and asks for the same position again.
            """
            if not self._slots or call.buffers is None:  # vLLM's own warm-up
                return logits
            slots = [self._slots[index] for index in range(len(logits))]
            return call.buffers.force(logits, [row for row, _ in slots], [len(drawn) for _, drawn in slots])

    return Drawn
