"""The in-process engine: samples with the trainer's own weights through the model's own forward.

Each distinct prompt is prefilled once and forked, the cache is written in place, finished rows are dropped, and log-prob and entropy come
from the logits that the token was drawn from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from pipelines.models.placement import Placement
from pipelines.models.policy import context_size
from pipelines.models.tokenizer import Tokens
from pipelines.rollouts.cache import fixed_cache
from pipelines.rollouts.counter import key_tensor, uniforms
from pipelines.rollouts.draw import draw
from pipelines.rollouts.forest import Completion, Finish
from pipelines.rollouts.rollout_params import SamplingParams

COMPACT_BELOW = 0.75  # finished rows are dropped once this share or less is alive: each drop copies the cache


@dataclass
class LocalEngine:
    """`generate` continues prefixes; `batch` is the number of sequences in flight; `pause` is called before every token and may raise."""

    model: Any
    tokens: Tokens
    placement: Placement
    batch: int = 1024
    pause: Callable[[], None] = lambda: None

    def generate(self, prefixes: Sequence[list[int]], keys: Sequence[Sequence[int]], sampling: SamplingParams) -> list[list[Completion]]:
        """prefixes: P lists of ids; keys: P x n counter keys -> P x n completions. Each depends on its prefix and key alone.

        Raises ValueError when a prefix leaves no room in the model's context.
        """
        copies = len(keys[0]) if keys else 0
        order = sorted(range(len(prefixes)), key=lambda index: len(prefixes[index]))  # neighbours of like length need little padding
        at_once = max(1, self.batch // max(1, copies))
        results: list[list[Completion]] = [[] for _ in prefixes]
        training = self.model.training
        self.model.eval()
        with torch.inference_mode(), self.placement.autocast():
            for start in range(0, len(order), at_once):
                part = order[start : start + at_once]
                for index, completions in zip(
                    part, self._generate([prefixes[i] for i in part], [keys[i] for i in part], sampling), strict=True
                ):
                    results[index] = completions
        self.model.train(training)
        return results

    def _generate(self, prefixes: list[list[int]], keys: list[Sequence[int]], sampling: SamplingParams) -> list[list[Completion]]:
        copies, device = len(keys[0]), self.placement.device
        room = torch.tensor([context_size(self.model) - len(prefix) for prefix in prefixes])
        if int(room.min()) < 1:
            raise ValueError(
                f"a prefix of {max(map(len, prefixes))} tokens leaves no room in the model's context of {context_size(self.model)}"
            )
        limits = room.clamp(max=sampling.max_new_tokens).repeat_interleave(copies).to(device)
        run = _Run(self.model, self._left_pad(prefixes), int(limits.max()), copies)
        trace = _Trace(len(limits), int(limits.max()), device)
        counters = key_tensor([key for row in keys for key in row], device)
        stops = torch.tensor(sorted({self.tokens.eos_id, *self.tokens.stop_ids}), device=device)
        alive = torch.arange(len(limits), device=device)
        finished = torch.zeros(len(limits), dtype=torch.bool, device=device)
        for position in range(int(limits.max())):
            self.pause()
            chosen, logprobs, entropy = draw(run.logits, uniforms(counters[alive], position), sampling)
            trace.write(position, alive, chosen, logprobs, entropy)
            ending = (torch.isin(chosen, stops) | (position + 1 >= limits[alive])) & ~finished
            if ending.any():
                trace.lengths[alive[ending]] = position + 1
                finished |= ending
                left = len(finished) - int(finished.sum())
                if left == 0:
                    break
                if left <= COMPACT_BELOW * len(finished):
                    kept = (~finished).nonzero().squeeze(1)
                    run.keep(kept)
                    alive, chosen, finished = alive[kept], chosen[kept], finished[kept]
            run.advance(chosen)
        completions = trace.completions(self._finish, room.repeat_interleave(copies).tolist(), sampling.max_new_tokens)
        return [completions[start : start + copies] for start in range(0, len(completions), copies)]

    def _left_pad(self, prefixes: list[list[int]]) -> tuple[Tensor, Tensor]:
        """ids (P, W) padded on the left, and how many pads each row has."""
        width = max(map(len, prefixes))
        rows = [[self.tokens.pad_id] * (width - len(prefix)) + list(prefix) for prefix in prefixes]
        pads = [width - len(prefix) for prefix in prefixes]
        return torch.tensor(rows, device=self.placement.device), torch.tensor(pads, device=self.placement.device)

    def _finish(self, last: int, length: int, room: int, cap: int) -> Finish:
        if last == self.tokens.eos_id:
            return Finish.EOS
        if last in self.tokens.stop_ids:
            return Finish.STOP
        return Finish.CAP if length >= cap else Finish.CONTEXT


class _Run:
    """The rows in flight: prefilled once, forked `copies` times, advanced one token at a time. `logits` (rows, V): the next token."""

    def __init__(self, model: Any, padded: tuple[Tensor, Tensor], new_tokens: int, copies: int) -> None:
        ids, pads = padded
        self._model, self._width = model, ids.shape[1]
        self._takes_positions = "position_ids" in signature(model.forward).parameters
        self._cache = fixed_cache(model, self._width + new_tokens)
        columns = torch.arange(self._width + new_tokens, device=ids.device)
        # A batch without padding needs no mask, and attention without a mask is faster.
        self._mask = (columns >= pads[:, None]).long() if bool(pads.any()) else None
        self._pads = pads
        positions = (columns[: self._width] - pads[:, None]).clamp(min=0)
        self.logits = self._forward(ids, positions)
        self._cache.batch_repeat_interleave(copies)
        self.logits = self.logits.repeat_interleave(copies, 0)
        self._pads = pads.repeat_interleave(copies)
        if self._mask is not None:
            self._mask = self._mask.repeat_interleave(copies, 0)

    def keep(self, rows: Tensor) -> None:
        """Drop all but `rows`."""
        self._cache.batch_select_indices(rows)
        self._pads = self._pads[rows]
        if self._mask is not None:
            self._mask = self._mask[rows]

    def advance(self, chosen: Tensor) -> None:
        """Feed the drawn tokens (rows,)."""
        positions = (self._width - self._pads)[:, None]
        self._width += 1
        self.logits = self._forward(chosen[:, None], positions)

    def _forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        extra = {"position_ids": positions} if self._takes_positions else {}
        mask = None if self._mask is None else self._mask[:, : self._width]
        return self._model(
            input_ids=ids, attention_mask=mask, past_key_values=self._cache, use_cache=True, logits_to_keep=1, **extra
        ).logits[:, -1]


class _Trace:
    """What was drawn: (rows, positions) ids, log-probs and entropies, and each row's length."""

    def __init__(self, rows: int, positions: int, device: torch.device) -> None:
        self._ids = torch.zeros(rows, positions, dtype=torch.long, device=device)
        self._logprobs = torch.zeros(rows, positions, device=device)
        self._entropy = torch.zeros(rows, positions, device=device)
        self.lengths = torch.zeros(rows, dtype=torch.long, device=device)

    def write(self, position: int, rows: Tensor, chosen: Tensor, logprobs: Tensor, entropy: Tensor) -> None:
        self._ids[rows, position] = chosen
        self._logprobs[rows, position] = logprobs
        self._entropy[rows, position] = entropy

    def completions(self, finish: Callable[[int, int, int, int], Finish], rooms: list[int], cap: int) -> list[Completion]:
        ids, logprobs, entropy = self._ids.tolist(), self._logprobs.cpu(), self._entropy.cpu()
        made = []
        for row, (length, room) in enumerate(zip(self.lengths.tolist(), rooms, strict=True)):
            reason = finish(ids[row][length - 1], length, room, cap)
            made.append(Completion(ids[row][:length], logprobs[row, :length], entropy[row, :length], reason))
        return made
