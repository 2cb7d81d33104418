"""A row's tokens, log-probs and entropies are the same bits whatever shares the batch, and however its state
came to be.
"""

import pytest
import torch

from pipelines.rollouts.counter import child_key, root_key
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.rollouts.forest import Prompt
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.rollouts.samplers import tree
from pipelines.rollouts.samplers.options import TreeParams
from tests.rollouts.test_fused import make
from tests.tiny import CPU, make_tiny_tokens

SAMPLING = SamplingParams(max_new_tokens=12)
KINDS = {
    "qwen2": {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 1},
    "qwen3": {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16},
    # wide enough for packed weights
    "llama": {"hidden_size": 256, "num_attention_heads": 8, "num_key_value_heads": 4},
}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def prompts_of(tokens, count=17):
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, 30, (count,), generator=generator).tolist()
    return [
        torch.randint(4, tokens.vocab_size, (length,), generator=generator).tolist() for length in lengths
    ]


def bits(families):
    return [(one.ids, one.logprobs.tolist(), one.entropy.tolist()) for family in families for one in family]


@pytest.mark.parametrize("kind", KINDS)
def test_companions_change_no_bit(tokens, threads, kind):
    """The same run, iteration, prompt and path: the same tokens, alone, by threes, a few rows at a time, or
    all at once.
    """
    engine, prompts = LocalEngine(make(kind, tokens, **KINDS[kind]), tokens, CPU), prompts_of(tokens)
    keys = [
        [child_key(root_key(0, 0, str(number)), index) for index in range(5)]
        for number in range(len(prompts))
    ]
    together = bits(engine.generate(prompts, keys, SAMPLING))
    assert len({tuple(ids) for ids, *_ in together}) > len(prompts)
    by_prompt = [
        one
        for prompt, own in zip(prompts, keys, strict=True)
        for one in bits(engine.generate([prompt], [own], SAMPLING))
    ]
    by_threes = [
        one
        for at in range(0, 17, 3)
        for one in bits(engine.generate(prompts[at : at + 3], keys[at : at + 3], SAMPLING))
    ]
    by_sample = [
        bits(engine.generate([prompt], [[key]], SAMPLING))[0]
        for prompt, own in zip(prompts, keys, strict=True)
        for key in own
    ]
    thin = bits(LocalEngine(engine.model, tokens, CPU, 8).generate(prompts, keys, SAMPLING))
    assert by_prompt == by_threes == by_sample == thin == together


def test_a_kept_state_is_a_computed_one(tokens, threads):
    """A tree's levels go on from kept caches, or from their prefixes computed anew."""
    model = make("qwen2", tokens, **KINDS["qwen2"])
    settings = TreeParams(kind="tree", branching=[3, 2, 2], segment=4)
    roots = [
        Prompt(str(number), ids, root_key(0, 0, str(number)))
        for number, ids in enumerate(prompts_of(tokens, 4))
    ]

    class Forgetful(LocalEngine):
        def generate(self, prefixes, keys, sampling, caps=None, keep=False):
            return super().generate(prefixes, keys, sampling, caps)

    grown = [
        tree.grow(engine(model, tokens, CPU), roots, settings, SAMPLING)
        for engine in (LocalEngine, Forgetful)
    ]
    one, other = ([(node.ids, node.logprobs.tolist()) for node in forest.nodes] for forest in grown)
    assert one == other
