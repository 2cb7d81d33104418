"""The in-process engine: samples with the trainer's own weights.

Each distinct prefix is computed once and forked, caches are written in place, finished rows make room for
waiting ones, and log-prob and entropy come from the logits that the token was drawn from. Llama, Qwen2 and
Qwen3 take a lean forward of the same function; every other causal model its own. On a CPU the rows are dealt
to one worker per core, which beats two cores on one small product by far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any

import torch

from pipelines.models.placement import Placement
from pipelines.models.policy import context_size
from pipelines.models.tokenizer import Tokens
from pipelines.rollouts.counter import key_tensor
from pipelines.rollouts.engines.cache import PrefixState
from pipelines.rollouts.engines.continuous_batch import ContinuousBatch, DecodingRules, Samples
from pipelines.rollouts.engines.fused import FusedForward, fusible
from pipelines.rollouts.engines.generic import GenericForward
from pipelines.rollouts.engines.in_flight import Request, RolloutMemory, token_bytes
from pipelines.rollouts.engines.prefill import Forward, Prefiller, PrefixGroup, distribute, group_prefixes
from pipelines.rollouts.engines.weights import checksums
from pipelines.rollouts.forest import Completion, Finish
from pipelines.rollouts.rollout_params import SamplingParams

PREFILL_TOKENS = {"cpu": 4096, "cuda": 32768}


@dataclass
class LocalEngine:
    """`generate` continues prefixes; `batch` is the number of sequences in flight, None: as many as the free
    memory holds, which `processes` share; `check_stop` is called before every token and may raise.

    `lean` false takes the model's own forward even where a leaner one exists: the same tokens, for
    comparison.
    """

    model: Any
    tokens: Tokens
    placement: Placement
    batch: int | None = None
    check_stop: Callable[[], None] = lambda: None
    lean: bool = True
    processes: int = 1

    def __post_init__(self) -> None:
        self._forward: Forward | None = None
        self._kept: dict[tuple[int, ...], PrefixState] = {}
        self._origin: tuple[object, ...] = ()  # what the forward was made for: model, lean, device
        self._weights: list[int] = []  # checksums of those that made what is kept

    def generate(
        self,
        prefixes: Sequence[list[int]],
        keys: Sequence[Sequence[int]],
        sampling: SamplingParams,
        caps: Sequence[int] | None = None,
        keep: bool = False,
    ) -> list[list[Completion]]:
        """prefixes: P lists of ids; keys: one counter key per wanted completion of each -> as many
        completions of each.

        `caps` limits the new tokens prefix by prefix, beside `sampling.max_new_tokens`. With `keep` the
        caches of completions that ended at their cap are held for the next call, which forks them instead of
        computing them again where a prefix is exactly such a prefix with its completion: a sampler that grows
        a tree level by level sets it on all levels but the last. A completion depends on its prefix and key
        alone. Raises ValueError when a prefix leaves no room in the model's context.
        """
        known, self._kept = self._kept, {}
        rows = [len(row) for row in keys]
        prefix_of = [index for index, count in enumerate(rows) for _ in range(count)]
        if not prefix_of:
            return [[] for _ in prefixes]
        context = context_size(self.model)
        longest = max(map(len, prefixes))
        if longest >= context:
            raise ValueError(
                f"a prefix of {longest} tokens leaves no room in the model's context of {context}"
            )
        if min(map(len, prefixes)) < 1 or (caps is not None and min(caps) < 1):
            raise ValueError(
                "a prefix is empty, or a cap is below 1: there is nothing to continue, or nothing to draw"
            )
        capped = [
            min(sampling.max_new_tokens, caps[index] if caps is not None else sampling.max_new_tokens)
            for index in range(len(prefixes))
        ]
        rooms = [context - len(prefix) for prefix in prefixes]
        samples = self._samples(
            prefix_of, keys, [min(cap, room) for cap, room in zip(capped, rooms, strict=True)]
        )
        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                forward = self._refreshed_forward()
                weights = checksums(self.model) if keep or known else []
                same_weights, self._weights = weights == self._weights, weights
                members: list[list[int]] = [[] for _ in prefixes]
                for row, index in enumerate(prefix_of):
                    members[index].append(row)
                # A full context cannot be continued, so nothing of it is kept.
                keepable = torch.tensor(
                    [keep and capped[index] < rooms[index] for index in prefix_of],
                    device=self.placement.device,
                )
                held = self._sample(
                    forward,
                    group_prefixes(prefixes, members),
                    known if same_weights else {},
                    samples,
                    sampling,
                    keepable,
                )
        finally:
            self.model.train(training)
        completions = self._completions(samples, [capped[index] for index in prefix_of])
        self._kept = {
            (*prefixes[prefix_of[row]], *completions[row].ids): state for row, state in sorted(held.items())
        }
        return [[completions[row] for row in family] for family in members]

    def release_memory(self) -> None:
        """Give back what was kept for continuing: updates come next, and need the memory."""
        self._kept = {}

    def _samples(self, prefix_of: list[int], keys: Sequence[Sequence[int]], limits: list[int]) -> Samples:
        device, shape = self.placement.device, (len(prefix_of), max(limits))
        return Samples(
            keys=key_tensor([key for row in keys for key in row], device),
            limits=torch.tensor([limits[index] for index in prefix_of], device=device),
            ids=torch.zeros(shape, dtype=torch.long, device=device),
            logprobs=torch.zeros(shape, device=device),
            entropy=torch.zeros(shape, device=device),
            lengths=torch.zeros(len(prefix_of), dtype=torch.long, device=device),
        )

    def _refreshed_forward(self) -> Forward:
        """Returns the forward with the model's present weights."""
        lean = self.lean and fusible(self.model)
        origin = (self.model, lean, next(self.model.parameters()).device)
        if self._forward is None or origin != self._origin:
            self._forward = (
                FusedForward(self.model, self.placement.dtype)
                if lean
                else GenericForward(self.model, self.placement)
            )
            self._origin = origin
        elif isinstance(self._forward, FusedForward):
            self._forward.refresh()  # always: fused optimisers leave no trace in autograd's version counters
        return self._forward

    def _sample(
        self,
        forward: Forward,
        groups: list[PrefixGroup],
        known: dict[tuple[int, ...], PrefixState],
        samples: Samples,
        sampling: SamplingParams,
        keepable: torch.Tensor,
    ) -> dict[int, PrefixState]:
        """Run all groups, on as many workers as pay; returns the states of the rows to keep."""
        device = self.placement.device
        stops = torch.tensor(sorted({self.tokens.eos_id, *self.tokens.stop_ids}), device=device)
        threads, lean = torch.get_num_threads(), isinstance(forward, FusedForward)
        room = RolloutMemory(device, threads, lean, token_bytes(self.model.config, self.placement.dtype))
        longest, new = max(len(group.ids) for group in groups), int(samples.limits.max())
        request = Request(len(samples.keys), sum(len(group.users) for group in groups), longest, new)
        workers, at_once = room.in_flight(request.rows, self.batch or room.batch(request, self.processes))
        rules = DecodingRules(sampling, stops, keepable, at_once)
        batches = [
            ContinuousBatch(
                forward,
                Prefiller(forward, share, known, PREFILL_TOKENS.get(device.type, 4096), device),
                share,
                samples,
                rules,
            )
            for share in distribute(groups, workers)
        ]
        _run_in_parallel([batch.run for batch in batches], self.check_stop, threads)
        return {row: state for batch in batches for row, state in batch.kept.items()}

    def _completions(self, samples: Samples, caps: list[int]) -> list[Completion]:
        ids, logprobs, entropy = samples.ids.tolist(), samples.logprobs.cpu(), samples.entropy.cpu()
        completions = []
        for row, (length, cap) in enumerate(zip(samples.lengths.tolist(), caps, strict=True)):
            reason = self._finish(ids[row][length - 1], length, cap)
            completions.append(
                Completion(ids[row][:length], logprobs[row, :length], entropy[row, :length], reason)
            )
        return completions

    def _finish(self, last: int, length: int, cap: int) -> Finish:
        if last == self.tokens.eos_id:
            return Finish.EOS
        if last in self.tokens.stop_ids:
            return Finish.STOP
        return Finish.CAP if length >= cap else Finish.CONTEXT


def _run_in_parallel(
    runs: list[Callable[[Callable[[], None]], None]], check_stop: Callable[[], None], threads: int
) -> None:
    """Call each run with a pause that may raise: the first here, the others in threads, each on one core. The
    first error ends all.
    """
    if len(runs) == 1:
        runs[0](check_stop)
        return
    stop = Event()

    def poll() -> None:
        if stop.is_set():
            raise _Stopped

    def work(run: Callable[[Callable[[], None]], None]) -> None:
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                run(poll)
        except _Stopped:
            return
        except BaseException:
            stop.set()
            raise

    def check_both() -> None:
        poll()
        check_stop()

    with ThreadPoolExecutor(len(runs) - 1) as pool:
        others = [pool.submit(work, run) for run in runs[1:]]
        torch.set_num_threads(1)
        try:
            runs[0](check_both)
        except _Stopped:
            pass  # another one's error, raised below
        except BaseException:
            stop.set()
            raise
        finally:
            torch.set_num_threads(threads)
        for other in others:
            other.result()


class _Stopped(Exception):
    """Another worker has failed."""
