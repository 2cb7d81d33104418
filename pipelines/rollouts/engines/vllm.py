"""The vLLM engine: same door and same samples as the local one, with vLLM's paged cache, batching and
attention kernels behind it.

It runs in the trainer's process. vLLM holds a copy of the weights, made anew from the live model whenever
that has changed, and then drops its prefix cache. Install vLLM beside Whetstone; `make test-vllm` does so in
an environment of its own, with vLLM's CPU build.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import torch
from torch import Tensor

from pipelines.models import adapters
from pipelines.models.placement import Placement
from pipelines.models.policy import context_size
from pipelines.models.tokenizer import Tokens
from pipelines.rollouts.engines.vllm_draw import ROW, CurrentCall, DrawBuffers, make_logits_processor
from pipelines.rollouts.engines.weights import checksums
from pipelines.rollouts.forest import Completion, Finish
from pipelines.rollouts.rollout_params import SamplingParams

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the weights are copied from tensors of this process
    # else it pins this process, the trainer with it, to cores of its choice
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "ERROR",  # it warns at every reload that rotary tables came without weights
    "VLLM_NO_USAGE_STATS": "1",
}


class VllmEngine:
    """A `RolloutEngine`. `batch`: sequences in flight; `memory_share`: of the GPU's memory, for
    weights and cache; `cache_bytes`: for the cache where there is no GPU.

    One process, one device. Raises ImportError where vLLM is not installed.
    """

    def __init__(
        self,
        model: Any,
        tokens: Tokens,
        placement: Placement,
        batch: int = 256,
        memory_share: float = 0.3,
        cache_bytes: int = 1 << 30,
    ) -> None:
        self.model, self.tokens, self.placement = model, tokens, placement
        self.check_stop: Callable[[], None] = lambda: None
        self._call = CurrentCall()
        self._gpu = placement.device.type == "cuda"
        self._asleep = False
        self._held: list[int] = []  # checksums of the weights that vLLM has
        self._names = count()
        self._vllm = self._start(batch, memory_share, cache_bytes)

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

        `caps` limits the new tokens prefix by prefix. `keep` asks for nothing that vLLM's prefix cache does
        not do by itself. Raises ValueError when a prefix leaves no room in the model's context.
        """
        if min(map(len, prefixes), default=1) < 1 or min(caps or [1]) < 1:
            raise ValueError(
                "a prefix is empty, or a cap is below 1: there is nothing to continue, or nothing to draw"
            )
        room = [context_size(self.model) - len(prefix) for prefix in prefixes]
        if min(room, default=1) < 1:
            raise ValueError(
                f"a prefix of {max(map(len, prefixes))} tokens leaves no room in the model's context of "
                f"{context_size(self.model)}"
            )
        self._follow()
        wanted = [
            min(cap, sampling.max_new_tokens) for cap in caps or [sampling.max_new_tokens] * len(prefixes)
        ]
        limits = [min(pair) for pair in zip(wanted, room, strict=True)]
        owners = [index for index, row in enumerate(keys) for _ in row]
        if not owners:
            return [[] for _ in prefixes]
        self._call.buffers = DrawBuffers(
            [key for row in keys for key in row], max(limits), sampling, self.placement.device
        )
        try:
            drawn = self._run([prefixes[owner] for owner in owners], [limits[owner] for owner in owners])
            completions = self._completions(drawn, [wanted[owner] for owner in owners], self._call.buffers)
        finally:
            self._call.buffers = None
        results: list[list[Completion]] = [[] for _ in prefixes]
        for owner, completion in zip(owners, completions, strict=True):
            results[owner].append(completion)
        return results

    def refresh(self) -> None:
        """Copy the weights into vLLM and drop its prefix cache, which the old ones made. `generate` does so
        when they have changed.
        """
        self._wake()
        self._vllm.collective_rpc("reload_weights", kwargs={"weights_iterator": self._weights()})
        if not self._vllm.reset_prefix_cache():
            raise RuntimeError("vLLM did not drop its prefix cache: requests are still running")
        self._held = checksums(self.model)

    def release_memory(self) -> None:
        """Free vLLM's memory for the updates, until the next `generate`. Without a GPU vLLM cannot, and
        nothing happens.
        """
        if self._gpu and not self._asleep:
            self._vllm.sleep(level=1)
            self._asleep = True

    def _start(self, batch: int, memory_share: float, cache_bytes: int) -> Any:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from vllm import EngineArgs, LLMEngine

        place: dict[str, Any] = (
            {"gpu_memory_utilization": memory_share, "enable_sleep_mode": True}
            if self._gpu
            # blocks of 32: the cache is shared by whole blocks, and vLLM's 128 on a CPU are longer than most
            # prompts
            else {"kv_cache_memory_bytes": cache_bytes, "block_size": 32, "enforce_eager": True}
        )
        with tempfile.TemporaryDirectory() as folder:
            self.model.config.architectures = [type(self.model).__name__]
            self.model.config.save_pretrained(folder)
            arguments = EngineArgs(
                model=folder,
                skip_tokenizer_init=True,
                load_format="dummy",  # `refresh` brings the weights
                # vLLM's reload leaves out a head that is tied to the embedding
                hf_overrides={"tie_word_embeddings": False},
                dtype=str(self.placement.dtype).removeprefix("torch."),
                max_model_len=context_size(self.model),
                max_num_seqs=batch,
                enable_prefix_caching=True,
                async_scheduling=False,  # with it a token's position is not known when it is drawn
                logits_processors=[make_logits_processor(self._call)],
                disable_log_stats=True,
                **place,
            )
            with _undisturbed():
                return LLMEngine.from_engine_args(arguments)

    def _follow(self) -> None:
        """Awake, and with the model's present weights."""
        self._wake()
        if self._held != checksums(self.model):
            self.refresh()

    def _wake(self) -> None:
        if self._asleep:
            self._vllm.wake_up()
            self._asleep = False

    def _weights(self) -> Iterator[tuple[str, Tensor]]:
        for name, weight in adapters.plain_state(self.model).items():
            yield name, weight.detach().to(self.placement.dtype)

    def _run(self, prefixes: list[list[int]], limits: list[int]) -> list[list[int]]:
        """Returns the ids drawn after each prefix, with the stop token."""
        from vllm import SamplingParams as VllmParams
        from vllm.sampling_params import RequestOutputKind

        names: dict[str, int] = {}
        drawn: list[list[int]] = [[] for _ in prefixes]
        try:
            for row, (prefix, limit) in enumerate(zip(prefixes, limits, strict=True)):
                parameters = VllmParams(
                    temperature=0,  # greedy among logits that allow one token
                    max_tokens=limit,
                    ignore_eos=True,
                    # -1: nothing ends a response
                    stop_token_ids=sorted({self.tokens.eos_id, *self.tokens.stop_ids} - {-1}),
                    detokenize=False,
                    output_kind=RequestOutputKind.FINAL_ONLY,
                    extra_args={ROW: row},
                )
                name = f"w{next(self._names)}"
                names[name] = row
                self._vllm.add_request(name, {"prompt_token_ids": list(prefix)}, parameters)
            while self._vllm.has_unfinished_requests():
                self.check_stop()
                for output in self._vllm.step():
                    drawn[names.pop(output.request_id)] = list(output.outputs[0].token_ids)
        finally:
            if names:
                self._vllm.abort_request(list(names))
        return drawn

    def _completions(self, drawn: list[list[int]], caps: list[int], buffers: DrawBuffers) -> list[Completion]:
        logprobs, entropy = buffers.logprobs.cpu(), buffers.entropy.cpu()
        return [
            Completion(
                ids,
                logprobs[row, : len(ids)],
                entropy[row, : len(ids)],
                self._finish(ids[-1], len(ids), caps[row]),
            )
            for row, ids in enumerate(drawn)
        ]

    def _finish(self, last: int, length: int, cap: int) -> Finish:
        if last == self.tokens.eos_id:
            return Finish.EOS
        if last in self.tokens.stop_ids:
            return Finish.STOP
        return Finish.CAP if length >= cap else Finish.CONTEXT


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Undo what starting vLLM does to its process: it seeds the global generators, and on a CPU forbids to
    set the number of threads.
    """
    set_threads, drawn, drawn_torch = torch.set_num_threads, random.getstate(), torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_num_threads = set_threads
        random.setstate(drawn)
        torch.set_rng_state(drawn_torch)
