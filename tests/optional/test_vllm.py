"""The vLLM engine against the local one, on a real vLLM. `make test-vllm` installs vLLM's CPU build in an
environment of its own and runs these; elsewhere they skip.
"""

from __future__ import annotations

import importlib.util

import pytest
import torch

from pipelines.models import adapters, policy
from pipelines.models.adapter_params import AdapterParams
from pipelines.models.base_params import ArchitectureParams
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.rollouts.forest import Finish
from pipelines.rollouts.rollout_params import SamplingParams
from tests import tiny

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None, reason="vLLM is not installed here: run `make test-vllm`"
)

# heads of 32: vLLM's CPU attention has no smaller ones
SHAPE = ArchitectureParams(
    hidden_size=64, intermediate_size=128, layers=2, heads=2, kv_heads=1, context=128, initializer_range=0.3
)
PREFIXES = [[5, 6, 7], [3, 4, 5, 6, 7, 8, 9], [8] * 40, [4, 5] * 40]
KEYS = [[10 * row + copy for copy in range(3)] for row in range(len(PREFIXES))]


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """Both engines on one model: a vLLM engine takes seconds to start, and one process holds one."""
    from pipelines.rollouts.engines.vllm import VllmEngine

    tokens = tiny.make_tiny_tokens(tmp_path_factory.mktemp("tokens"))
    model = policy.without_dropout(policy.build(SHAPE, tokens, seed=0))
    return LocalEngine(model, tokens, tiny.CPU), VllmEngine(
        model, tokens, tiny.CPU, batch=8, cache_bytes=1 << 26
    )


def assert_same(some, others, tolerance=2e-5):
    """Same ids and finish reasons; log-probs and entropies up to float32's rounding, for the kernels sum in
    another order.
    """
    for row, other in zip(some, others, strict=True):
        for one, two in zip(row, other, strict=True):
            assert one.ids == two.ids
            assert one.finish == two.finish
            torch.testing.assert_close(one.logprobs, two.logprobs, atol=tolerance, rtol=tolerance)
            torch.testing.assert_close(one.entropy, two.entropy, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingParams(temperature=0, max_new_tokens=24),
        SamplingParams(temperature=1, max_new_tokens=24),
        SamplingParams(temperature=0.7, max_new_tokens=24),
        SamplingParams(temperature=1, top_p=0.8, top_k=5, max_new_tokens=24),
    ],
    ids=["greedy", "sampled", "tempered", "restricted"],
)
def test_same_samples_as_the_local_engine(engines, sampling):
    """More requests than vLLM takes at once, so that its batch changes while they run."""
    local, vllm = engines
    assert_same(local.generate(PREFIXES, KEYS, sampling), vllm.generate(PREFIXES, KEYS, sampling))


def test_a_sample_does_not_depend_on_its_batch(engines):
    _, vllm = engines
    sampling = SamplingParams(temperature=1, max_new_tokens=16)
    together = vllm.generate(PREFIXES, KEYS, sampling)
    alone = [
        vllm.generate([prefix], [keys], sampling)[0] for prefix, keys in zip(PREFIXES, KEYS, strict=True)
    ]
    assert_same(together, alone)


def test_caps_and_the_end_of_the_context(engines):
    _, vllm = engines
    sampling = SamplingParams(temperature=1, max_new_tokens=64)
    free = vllm.generate(PREFIXES, KEYS, sampling)
    caps = [1, 2, 3, 200]
    for row, whole, prefix, cap in zip(
        vllm.generate(PREFIXES, KEYS, sampling, caps), free, PREFIXES, caps, strict=True
    ):
        room = SHAPE.context - len(prefix)
        for completion, long in zip(row, whole, strict=True):
            assert completion.ids == long.ids[:cap]
            assert len(completion.ids) <= min(cap, 64, room)
            if not completion.finish.complete:
                assert completion.finish == (
                    Finish.CONTEXT if len(completion.ids) == room < min(cap, 64) else Finish.CAP
                )
    assert {completion.finish for row in free for completion in row} >= {Finish.EOS, Finish.CONTEXT}
    with pytest.raises(ValueError, match="leaves no room"):
        vllm.generate([[5] * SHAPE.context], [[1]], sampling)


def test_an_update_of_the_live_model_takes_effect_and_drops_the_prefix_cache(engines):
    local, vllm = engines
    sampling = SamplingParams(temperature=1, max_new_tokens=16)
    before = vllm.generate(PREFIXES, KEYS, sampling)
    optimiser = torch.optim.AdamW(local.model.parameters(), lr=0.03, fused=True)
    local.model(input_ids=torch.tensor([PREFIXES[1]])).logits.square().mean().backward()
    optimiser.step()
    after = vllm.generate(PREFIXES, KEYS, sampling)
    assert [[one.ids for one in row] for row in after] != [[one.ids for one in row] for row in before]
    # The prefixes are long enough to be cached; had their blocks outlived the update, log-probs would be
    # those of mixed weights.
    assert_same(local.generate(PREFIXES, KEYS, sampling), after)


def test_prefixes_are_cached_until_the_weights_change(engines):
    local, vllm = engines
    cached = []

    def counting(output):
        cached.append(output.num_cached_tokens)
        return output

    step = vllm._vllm.step
    vllm._vllm.step = lambda: [counting(output) for output in step()]
    try:
        sampling = SamplingParams(temperature=1, max_new_tokens=2)
        fresh, again = [5, 6] * 40, [[1]]
        for changed in (False, False, True):
            if changed:
                with torch.no_grad():
                    local.model.model.norm.weight.mul_(1.01)
            vllm.generate([fresh], again, sampling)
    finally:
        vllm._vllm.step = step
    assert cached == [0, 64, 0]  # whole blocks of 32


def test_a_pause_that_raises_leaves_an_engine_that_works(engines):
    local, vllm = engines
    sampling = SamplingParams(temperature=1, max_new_tokens=16)
    asked = []

    def pause():
        asked.append(True)
        if len(asked) == 3:
            raise KeyboardInterrupt

    vllm.check_stop = pause
    try:
        with pytest.raises(KeyboardInterrupt):
            vllm.generate(PREFIXES, KEYS, sampling)
    finally:
        vllm.check_stop = lambda: None
    assert_same(local.generate(PREFIXES, KEYS, sampling), vllm.generate(PREFIXES, KEYS, sampling))


def test_the_process_stays_as_it_was(engines):
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    assert torch.get_num_threads() == threads + 1
    torch.set_num_threads(threads)


def test_adapters_are_part_of_the_weights(engines):
    """Last, for it changes the engines' model."""
    pytest.importorskip("peft")
    local, vllm = engines
    sampling = SamplingParams(temperature=1, max_new_tokens=16)
    adapters.add(local.model, AdapterParams(rank=2), seed=0)
    with torch.no_grad():
        for name, parameter in local.model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    with adapters.merged(local.model):
        merged = vllm.generate(PREFIXES, KEYS, sampling)
        assert_same(
            LocalEngine(local.model, local.tokens, tiny.CPU).generate(PREFIXES, KEYS, sampling), merged
        )
    assert_same(merged, vllm.generate(PREFIXES, KEYS, sampling))
