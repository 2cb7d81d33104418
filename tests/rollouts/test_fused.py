"""The lean forward against the model's own: the same tokens, whatever the family, the batch, the lengths and
the order.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from pipelines.models import adapters
from pipelines.models.adapter_params import AdapterParams
from pipelines.models.placement import Placement
from pipelines.rollouts.counter import child_key, root_key
from pipelines.rollouts.engines import continuous_batch, fused
from pipelines.rollouts.engines.fused import FusedForward, fusible
from pipelines.rollouts.engines.generic import GenericForward
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.rollouts.engines.prefill import distribute, group_prefixes
from pipelines.rollouts.forest import Finish
from pipelines.rollouts.rollout_params import SamplingParams
from tests.tiny import CPU, make_tiny_tokens

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,  # one vector
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}
SAMPLING = SamplingParams(temperature=0.9, max_new_tokens=20)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


def make(family, tokens, **more):
    torch.manual_seed(1)
    config, model = {
        "llama": (LlamaConfig, LlamaForCausalLM),
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
        "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    }[family]
    built = model(config(vocab_size=tokens.vocab_size, **(SHAPE | more))).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.ndim == 1:  # gains and biases that matter
                parameter.copy_(torch.randn_like(parameter).mul(0.3).add(1.0))
    return built


FAMILIES = {
    "llama": ("llama", {}),
    "llama, one key head, scaled rotary": (
        "llama",
        {
            "num_key_value_heads": 1,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 100.0,
                "factor": 4.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 16,
            },
        },
    ),
    "qwen2, tied": ("qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("qwen3", {}),
    "qwen2, three wide queries to a key": ("qwen2", {"num_attention_heads": 6, "head_dim": 48}),
    "llama, narrow heads": ("llama", {"head_dim": 8}),  # which decode in TorchScript, as bfloat16 does
    "qwen3, narrow heads, no groups": ("qwen3", {"head_dim": 8, "num_key_value_heads": 4}),
}


@pytest.fixture(scope="module", params=list(FAMILIES))
def model(request, tokens):
    family, more = FAMILIES[request.param]
    return make(family, tokens, **more)


def requests(lengths, copies, seed=0):
    generator = torch.Generator().manual_seed(seed)
    prefixes = [torch.randint(4, 17, (length,), generator=generator).tolist() for length in lengths]
    return prefixes, [
        [child_key(root_key(seed, 0, str(number)), index) for index in range(copies)]
        for number in range(len(prefixes))
    ]


def check_same(one, other):
    for mine, theirs in zip((c for f in one for c in f), (c for f in other for c in f), strict=True):
        assert mine.ids == theirs.ids
        assert mine.finish == theirs.finish
        torch.testing.assert_close(mine.logprobs, theirs.logprobs, atol=1e-4, rtol=0)
        torch.testing.assert_close(mine.entropy, theirs.entropy, atol=1e-4, rtol=0)


@pytest.mark.parametrize("temperature", [0.9, 0.0])
def test_lean_and_own_forward_sample_the_same(model, tokens, temperature):
    sampling = SAMPLING.model_copy(update={"temperature": temperature})
    lean, own = LocalEngine(model, tokens, CPU), LocalEngine(model, tokens, CPU, lean=False)
    batch = requests([3, 9, 1, 40, 9, 17, 60], 3)
    check_same(lean.generate(*batch, sampling), own.generate(*batch, sampling))
    assert isinstance(lean._forward, FusedForward)
    assert isinstance(own._forward, GenericForward)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_and_plain_kernels_give_the_same_bits(model, tokens, dtype, monkeypatch):
    placement = Placement(torch.device("cpu"), dtype)
    batch = requests([3, 9, 40, 60], 3)
    compiled = LocalEngine(model, tokens, placement).generate(*batch, SAMPLING)
    for user in (fused, continuous_batch):
        monkeypatch.setattr(user, "compiled", lambda function, device: function)
    plain = LocalEngine(model, tokens, placement).generate(*batch, SAMPLING)
    for mine, theirs in zip((c for f in compiled for c in f), (c for f in plain for c in f), strict=True):
        assert mine.ids == theirs.ids
        assert torch.equal(mine.logprobs, theirs.logprobs)
        assert torch.equal(mine.entropy, theirs.entropy)


@pytest.mark.parametrize("lengths", [[7, 7, 7], [3, 20, 9, 41]])
def test_a_prefix_held_once_for_its_family_and_one_held_by_each_row_give_the_same(
    model, tokens, lengths, monkeypatch
):
    """Whole families; families cut and thinned out, of unlike prefixes, waiting for room; and their states,
    which the next call forks.
    """
    prefixes, keys = requests(lengths, 6)
    keys[-1] = keys[-1][:3]
    caps = [[2 + 3 * (row + column) % 11 for column in range(len(keys[row]))] for row in range(len(keys))]
    singles = [
        (prefix, [key], cap)
        for prefix, row, limits in zip(prefixes, keys, caps, strict=True)
        for key, cap in zip(row, limits, strict=True)
    ]
    results, shared = [], []
    original = continuous_batch.CacheRows.join
    monkeypatch.setattr(
        continuous_batch.CacheRows, "join", lambda *rest: shared.append(rest[-2]) or original(*rest)
    )
    for least in (1, 99):
        monkeypatch.setattr(continuous_batch, "SHARED_BY", least)
        for at_once in (1024, 7):
            engine = LocalEngine(model, tokens, CPU, batch=at_once)
            even = engine.generate(prefixes, keys, SAMPLING, [5] * len(prefixes), keep=True)
            grown = [
                (prefix + c.ids, key)
                for prefix, row, f in zip(prefixes, keys, even, strict=True)
                for key, c in zip(row, f, strict=True)
            ]
            forked = engine.generate(
                [ids for ids, _ in grown],
                [[child_key(key, turn) for turn in range(2)] for _, key in grown],
                SAMPLING,
            )
            results.append(
                even
                + forked
                + engine.generate(
                    [one[0] for one in singles],
                    [one[1] for one in singles],
                    SAMPLING,
                    [one[2] for one in singles],
                )
            )
    assert set(shared) == {True, False}
    for other in results[1:]:
        check_same(results[0], other)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("wide", [{}, {"hidden_size": 256}], ids=["plain", "packed"])
def test_merged_adapters_keep_the_lean_forward_and_its_samples(family, wide, tokens):
    """As a run with adapters samples: merged meanwhile. With adapters at work the model's own code runs,
    which knows them.
    """
    model = adapters.add(make(family, tokens, **wide), AdapterParams(rank=4, alpha=8), 0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn_like(weight) * 0.1)
    batch = requests([3, 9, 1, 17], 3)
    lean, own = LocalEngine(model, tokens, CPU), LocalEngine(model, tokens, CPU, lean=False)
    for _ in range(2):  # the second time with other adapters, through what the first made
        assert not fusible(model)
        with adapters.merged(model):
            assert fusible(model)
            check_same(lean.generate(*batch, SAMPLING), own.generate(*batch, SAMPLING))
            assert isinstance(lean._forward, FusedForward)
        check_same(lean.generate(*batch, SAMPLING), own.generate(*batch, SAMPLING))
        assert isinstance(lean._forward, GenericForward)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "lora_A" in name:
                    weight.mul_(-1.5)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_packed_weights_sample_the_same_and_follow_updates(family, tokens):
    model = make(family, tokens, hidden_size=fused.PACKED_FROM, num_hidden_layers=1, initializer_range=0.1)
    lean, own = LocalEngine(model, tokens, CPU), LocalEngine(model, tokens, CPU, lean=False)
    batch = requests([3, 9, 40], 5)
    check_same(lean.generate(*batch, SAMPLING), own.generate(*batch, SAMPLING))
    assert lean._forward._layers[0].matrices.up is not None
    for parameter in model.parameters():
        parameter.data.mul_(1.3)
    check_same(lean.generate(*batch, SAMPLING), own.generate(*batch, SAMPLING))


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(1, 5), st.integers(1, 9), st.booleans()
)
def test_a_completion_depends_on_its_prefix_and_key_alone(tokens, lengths, copies, at_once, lean):
    model = make("qwen2", tokens)
    batch = requests(lengths, copies)
    together = LocalEngine(model, tokens, CPU, lean=lean).generate(*batch, SAMPLING)
    trickled = LocalEngine(model, tokens, CPU, batch=at_once, lean=lean).generate(*batch, SAMPLING)
    check_same(together, trickled)


def test_threads_change_no_token_and_a_rerun_no_bit(tokens):
    model = make("qwen2", tokens)
    batch = requests([5, 12, 8, 30, 30, 2], 12)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            results.append(LocalEngine(model, tokens, CPU).generate(*batch, SAMPLING))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    check_same(results[0], results[1])
    for mine, theirs in zip(
        (c for f in results[1] for c in f), (c for f in results[2] for c in f), strict=True
    ):
        assert mine.ids == theirs.ids
        assert torch.equal(mine.logprobs, theirs.logprobs)


@pytest.mark.parametrize("lean", [True, False])
def test_a_cap_of_each_prefix_and_copies_that_differ(tokens, lean):
    engine = LocalEngine(make("qwen2", tokens), tokens, CPU, lean=lean)
    prefixes, keys = requests([5, 5, 30, 60], 4)
    keys = [keys[0], keys[1][:1], [], keys[3]]
    whole = engine.generate(prefixes, keys, SAMPLING)
    cut = engine.generate(prefixes, keys, SAMPLING, caps=[3, 50, 7, 2])
    assert [len(family) for family in cut] == [4, 1, 0, 4]
    for index, cap in enumerate([3, 20, 7, 2]):
        for long, short in zip(whole[index], cut[index], strict=True):
            assert short.ids == long.ids[:cap]
            assert short.finish == (
                Finish.CAP if len(long.ids) > cap or long.finish == Finish.CAP else long.finish
            )
    with pytest.raises(ValueError, match="cap is below 1"):
        engine.generate(prefixes, keys, SAMPLING, caps=[3, 0, 7, 2])
    assert engine.generate([], [], SAMPLING) == []


@pytest.mark.parametrize("lean", [True, False])
def test_kept_caches_are_forked_and_change_nothing(tokens, lean, monkeypatch):
    """Three levels of a tree: whatever hit its cap is continued, from the cache or from nothing."""
    model = make("llama", tokens)
    trees = []
    for keep in (True, False):
        engine = LocalEngine(model, tokens, CPU, batch=7, lean=lean)
        prefixes, keys = requests([5, 9], 3)
        levels = []
        for level in range(3):
            levels.append(
                engine.generate(prefixes, keys, SAMPLING, caps=[4] * len(prefixes), keep=keep and level < 2)
            )
            if keep and level == 0:  # the next level must not compute a prefix again
                forward = type(engine._forward)
                original = forward.prefill
                monkeypatch.setattr(forward, "prefill", None)
            grown = [
                (prefixes[i], keys[i][j], c)
                for i, family in enumerate(levels[-1])
                for j, c in enumerate(family)
            ]
            grown = [(prefix + c.ids, key) for prefix, key, c in grown if c.finish == Finish.CAP]
            assert grown
            prefixes, keys = (
                [prefix for prefix, _ in grown],
                [[child_key(key, index) for index in range(3)] for _, key in grown],
            )
        monkeypatch.setattr(forward, "prefill", original)
        assert not engine._kept
        trees.append(levels)
    for one, other in zip(*trees, strict=True):
        check_same(one, other)


@pytest.mark.parametrize("lean", [True, False])
def test_new_weights_take_effect_at_the_next_call_and_drop_what_was_kept(tokens, lean):
    model = make("qwen2", tokens)
    engine = LocalEngine(model, tokens, CPU, lean=lean)
    batch = requests([5, 9], 4)
    first = engine.generate(*batch, SAMPLING, caps=[3, 3], keep=True)
    grown = [
        (prefix + c.ids, key)
        for prefix, row, family in zip(*batch, first, strict=True)
        for key, c in zip(row, family, strict=True)
    ]
    after = [prefix for prefix, _ in grown], [[key] for _, key in grown]
    # which leaves the version counters as they were
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    fresh = LocalEngine(model, tokens, CPU, lean=lean).generate(*after, SAMPLING)
    check_same(engine.generate(*after, SAMPLING), fresh)
    for parameter in model.parameters():
        parameter.data.mul_(1.3)  # as an optimiser that goes round autograd does
    check_same(
        engine.generate(*batch, SAMPLING),
        LocalEngine(model, tokens, CPU, lean=False).generate(*batch, SAMPLING),
    )


def test_another_model_or_one_with_parts_replaced_gets_a_forward_of_its_own(tokens):
    engine = LocalEngine(make("qwen2", tokens), tokens, CPU)
    batch = requests([5, 9], 3)
    engine.generate(*batch, SAMPLING)
    engine.model = make("llama", tokens)
    check_same(
        engine.generate(*batch, SAMPLING),
        LocalEngine(engine.model, tokens, CPU, lean=False).generate(*batch, SAMPLING),
    )
    # as an adapter would
    engine.model.model.layers[0].mlp.up_proj = torch.nn.Sequential(engine.model.model.layers[0].mlp.up_proj)
    engine.generate(*batch, SAMPLING)
    assert isinstance(engine._forward, GenericForward)


def test_prefix_groups_cover_every_row_once_and_hands_are_even():
    prefixes = [[1, 2], [1], [3], [1, 2, 3], [1, 2], [2, 9]]
    found = group_prefixes(prefixes, [[0, 1], [2], [3], [4], [5], [6, 7, 8]])
    assert [(trunk.ids, trunk.users) for trunk in found] == [
        ((3,), {1: [3]}),
        ((2, 9), {2: [6, 7, 8]}),
        ((1, 2, 3), {3: [4], 2: [0, 1, 5], 1: [2]}),
    ]
    for hands in (1, 2, 3, 20):
        dealt = distribute(found, hands)
        assert sorted(
            row for hand in dealt for trunk in hand for rows in trunk.users.values() for row in rows
        ) == list(range(9))
        sizes = [sum(trunk.size for trunk in hand) for hand in dealt]
        assert max(sizes) - min(sizes) <= max(1, 9 // hands)


def test_cut_points_of_one_response_share_its_prefill(tokens, monkeypatch):
    model = make("qwen2", tokens)
    engine = LocalEngine(model, tokens, CPU)
    (response,), _ = requests([30], 1)
    prefixes = [response[:length] for length in (4, 11, 30, 12, 11)] + [[9, 9, 9]]
    keys = [
        [child_key(root_key(0, 0, str(number)), index) for index in range(3)]
        for number in range(len(prefixes))
    ]
    seen = []
    original = FusedForward.prefill
    monkeypatch.setattr(
        FusedForward,
        "prefill",
        lambda self, ids, *rest: seen.append(tuple(ids.shape)) or original(self, ids, *rest),
    )
    check_same(
        engine.generate(prefixes, keys, SAMPLING),
        LocalEngine(model, tokens, CPU, lean=False).generate(prefixes, keys, SAMPLING),
    )
    assert seen == [(2, 30)]


def test_an_error_in_any_worker_ends_the_call_and_restores_the_threads(tokens, monkeypatch):
    engine = LocalEngine(make("qwen2", tokens), tokens, CPU)
    batch = requests([5, 12, 8, 30, 30, 2], 12)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        engine.check_stop = iter([None] * 3).__next__  # raises StopIteration at the fourth token
        with pytest.raises(StopIteration):
            engine.generate(*batch, SAMPLING)
        assert torch.get_num_threads() == 2
        assert not engine.model.training
        engine.check_stop = lambda: None
        assert len(engine.generate(*batch, SAMPLING)) == 6
    finally:
        torch.set_num_threads(before)


def test_what_is_not_plain_takes_its_own_forward(tokens):
    assert fusible(make("llama", tokens))
    assert not fusible(make("llama", tokens, hidden_act="gelu"))
    assert not fusible(make("llama", tokens, mlp_bias=True))
    assert not fusible(
        make("llama", tokens, rope_parameters={"rope_type": "dynamic", "rope_theta": 100.0, "factor": 2.0})
    )
    replaced = make("llama", tokens)
    replaced.model.layers[0].self_attn.q_proj = torch.nn.Sequential(replaced.model.layers[0].self_attn.q_proj)
    assert not fusible(replaced)
    sliding = make("qwen2", tokens, use_sliding_window=True, sliding_window=6, max_window_layers=1)
    assert not fusible(sliding)


def test_a_sliding_window_is_respected_by_the_generic_path(tokens):
    model = make("qwen2", tokens, use_sliding_window=True, sliding_window=6, max_window_layers=1)
    prefixes, keys = requests([3, 14], 2)
    for prefix, row, family in zip(
        prefixes, keys, LocalEngine(model, tokens, CPU).generate(prefixes, keys, SAMPLING), strict=True
    ):
        for _key, completion in zip(row, family, strict=True):
            with torch.no_grad():
                logits = (
                    model(input_ids=torch.tensor([prefix + completion.ids])).logits[0, len(prefix) - 1 : -1]
                    / 0.9
                )
            expected = torch.log_softmax(logits, -1)[torch.arange(len(completion.ids)), completion.ids]
            torch.testing.assert_close(completion.logprobs, expected, atol=1e-4, rtol=0)
