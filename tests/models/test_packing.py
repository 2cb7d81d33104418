"""Packed scores equal those of each segment alone, gradients too: trees, mixed lengths, shared contexts,
grouped heads, checkpointing.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from pipelines.models import attention, spans
from pipelines.models.logprobs import score
from pipelines.models.packing import Segment, can_share, cut, pack, score_packed

SHAPE = {
    "vocab_size": 19,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
FAMILIES = {
    "qwen2": Qwen2Config(**SHAPE),
    "llama": LlamaConfig(**SHAPE),
    "qwen3": Qwen3Config(**SHAPE, head_dim=8),
    "mistral": MistralConfig(**SHAPE, sliding_window=None),
    "gpt2": GPT2Config(
        vocab_size=19,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=128,
        attn_pdrop=0,
        embd_pdrop=0,
        resid_pdrop=0,
    ),
}


def make(family="qwen2", **changes):
    torch.manual_seed(0)
    config = FAMILIES[family].__class__(**{**FAMILIES[family].to_dict(), **changes})
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def model():
    return make()


def draw(generator, count):
    return tuple(torch.randint(0, 19, (count,), generator=generator).tolist())


def flat(seed=0):
    """Three prompts, three samples of each, all of different lengths; one sample twice."""
    generator = torch.Generator().manual_seed(seed)
    prompts = [draw(generator, count) for count in (5, 1, 9)]
    found = [
        Segment((prompt,), draw(generator, 1 + (3 * i + j) * 2 % 11))
        for i, prompt in enumerate(prompts)
        for j in range(3)
    ]
    return [*found, found[4]]


def tree(seed=0):
    """Two prompts, edges of a 2-2 tree, the inner ones scored as well: a segment that is context of another
    in the same pack.
    """
    generator = torch.Generator().manual_seed(seed)
    found = []
    for size in (6, 3):
        prompt = draw(generator, size)
        for _ in range(2):
            inner = draw(generator, 2 + size % 4)
            found.append(Segment((prompt,), inner))
            found += [Segment((prompt, inner), draw(generator, count)) for count in (1, 7)]
    return found[::-1]  # children before parents


def long_contexts(seed=0):
    """Short segments after long contexts: the masked blocks."""
    generator = torch.Generator().manual_seed(seed)
    prompts = [draw(generator, count) for count in (40, 31)]
    return [
        Segment((prompt, draw(generator, 5)), draw(generator, 1 + i)) for prompt in prompts for i in range(4)
    ]


def alone(model, segments, temperature):
    """Each segment by itself, through the padded path."""
    logprobs, entropy = [], []
    for segment in segments:
        path = [token for piece in segment.context for token in piece]
        ids = torch.tensor([path + list(segment.ids)])
        found = score(model, ids, torch.arange(ids.shape[1])[None] >= len(path), temperature)
        logprobs.append(found.logprobs)
        entropy.append(found.entropy)
    return torch.cat(logprobs), torch.cat(entropy)


def gradients(model, logprobs):
    model.zero_grad()
    (logprobs * torch.linspace(-1, 1, len(logprobs))).sum().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def check(model, segments, temperature=1.0, **options):
    logprobs, entropy = alone(model, segments, temperature)
    expected = gradients(model, logprobs)
    packed = pack(segments, **options)
    found = score_packed(model, packed, temperature)
    assert packed.lengths == [len(segment.ids) for segment in segments]
    torch.testing.assert_close(found.logprobs, logprobs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.entropy, entropy, atol=1e-5, rtol=1e-5)
    for name, gradient in gradients(model, found.logprobs).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-5, rtol=1e-5, msg=name)
    return packed


@pytest.mark.parametrize("family", ["qwen2", "llama", "qwen3", "mistral"])
@pytest.mark.parametrize("segments", [flat, tree, long_contexts])
def test_scores_and_gradients_are_those_of_each_segment_alone(family, segments):
    model = make(family)
    assert can_share(model)
    check(model, segments(), temperature=0.7)


@pytest.mark.parametrize("heads", [1, 4])
def test_one_group_of_heads_and_as_many_as_heads(heads):
    check(make(num_key_value_heads=heads), tree() + long_contexts())


def test_under_gradient_checkpointing():
    model = make()
    expected = gradients(model, score_packed(model, pack(tree())).logprobs)
    model.activation_checkpointing_enable()
    model.train()
    found = gradients(model, score_packed(model, pack(tree())).logprobs)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], msg=name)
    check(model, flat() + long_contexts())


def test_every_distinct_token_is_computed_once():
    segments = tree()
    distinct = {(segment.context, segment.ids) for segment in segments} | {
        ((), segment.context[0]) for segment in segments
    }
    assert pack(segments).ids.shape == (1, sum(len(ids) for _, ids in distinct))
    assert pack(flat()).ids.shape[1] == 5 + 1 + 9 + sum(len(segment.ids) for segment in flat()[:9])


def test_positions_are_those_along_each_path():
    packed = pack([Segment(((1, 2, 3),), (4, 5)), Segment(((1, 2, 3), (4, 5)), (6,)), Segment(((7,),), (8,))])
    assert packed.ids.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 4, 5, 0, 1]]
    assert packed.before.index.tolist() == [2, 3, 4, 6]
    assert packed.after.index.tolist() == [4, 5, 7]
    assert packed.chosen.tolist() == [4, 5, 6, 8]


@pytest.mark.parametrize("shared", [True, False])
def test_blocks_and_padding_change_nothing(model, monkeypatch, shared):
    segments = flat() + tree() + long_contexts()
    check(model, segments, shared=shared)
    for waste, small in ((1.0, 0), (1e9, 0), (1.0, 1 << 30)):
        monkeypatch.setattr(spans, "WASTE", waste)
        monkeypatch.setattr(spans, "SMALL", small)
        check(model, segments, shared=shared)


def test_other_families_are_scored_from_a_padded_batch():
    model = make("gpt2")
    assert not can_share(model)
    check(model, flat(), shared=False)
    with pytest.raises(ValueError, match="shared=False"):
        score_packed(model, pack(flat()))


def test_a_sliding_window_shares_nothing():
    assert not can_share(make("mistral", sliding_window=8))
    assert not can_share(make("qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=0))


def test_forwards_without_a_layout_stay_as_they_are():
    model, ids = make(), torch.tensor([[3, 4, 5, 6], [7, 8, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    expected = (
        model(input_ids=ids, attention_mask=mask).logits,
        model.generate(ids[:1], max_new_tokens=5, do_sample=False, pad_token_id=0),
    )
    score_packed(model, pack(flat()))
    assert torch.equal(model(input_ids=ids, attention_mask=mask).logits, expected[0])
    assert torch.equal(
        model.generate(ids[:1], max_new_tokens=5, do_sample=False, pad_token_id=0), expected[1]
    )


def test_the_saved_configuration_does_not_name_the_attention(model, tmp_path):
    score_packed(model, pack(flat()))
    model.config.save_pretrained(tmp_path)
    assert "whetstone" not in (tmp_path / "config.json").read_text()


def test_the_same_pack_gives_the_same_bits(model):
    first, second = (score_packed(model, pack(tree() + flat())).logprobs for _ in range(2))
    assert torch.equal(first, second)
    one, two = gradients(model, first), gradients(model, second)
    assert all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.parametrize("segment", [Segment((), (1,)), Segment(((),), (1,)), Segment(((1,),), ())])
def test_a_segment_without_tokens_or_context_is_refused(segment):
    for shared in (True, False):
        with pytest.raises(ValueError, match="row 1"):
            pack([Segment(((1,),), (2,)), segment], shared)


pieces = st.lists(st.integers(0, 3), max_size=3).map(tuple)
some = st.builds(
    lambda first, more, ids: Segment((first, *more), ids),
    pieces.filter(bool),
    st.lists(pieces, max_size=2).map(tuple),
    pieces.filter(bool),
)


@settings(max_examples=40, deadline=None)
@given(segments=st.lists(some, min_size=1, max_size=8))
def test_any_forest(segments, model):
    with torch.no_grad():
        found = score_packed(model, pack(segments)).logprobs
        torch.testing.assert_close(found, alone(model, segments, 1.0)[0], atol=1e-5, rtol=1e-5)


filled = pieces.filter(bool)
trees = st.lists(
    st.builds(
        lambda prompt, more, ids: Segment((prompt, *more), ids), filled, st.lists(filled, max_size=2), filled
    ),
    min_size=1,
    max_size=20,
)


@given(trees, st.integers(1, 60), st.booleans())
def test_every_segment_once_and_shared_tokens_counted_once(found, budget, shared):
    groups = cut(found, budget, shared)
    assert sorted(index for group in groups for index in group) == list(range(len(found)))
    for group in groups:
        assert len(group) == 1 or pack([found[index] for index in group], shared).ids.numel() <= budget


def test_a_family_stays_together_where_it_fits_and_relatives_where_it_does_not():
    long, short = (1,) * 10, (2,) * 4
    tree = [Segment((long, (5, 5)), (i,)) for i in range(2)] + [
        Segment((long, (6, 6)), (i,)) for i in range(2)
    ]
    mixed = [tree[0], Segment((short,), (1,)), tree[2], Segment((short,), (2,)), tree[1], tree[3]]
    assert cut(mixed, 100) == [[0, 4, 2, 5, 1, 3]]
    assert cut(mixed, 20) == [[0, 4, 2, 5], [1, 3]]
    assert cut(mixed, 14) == [[0, 4], [2, 5], [1, 3]]


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("context", [0, 3])
def test_plain_products_attend_as_the_kernel_does(monkeypatch, groups, context):
    """Both ways through a block, with its gradients: spans of 5 and 4 tokens, alone and after a context."""
    three = spans.Spans()
    for first in range(3):
        three.add([*([(first, 1, 2)] if context else []), tuple(range(5 - first % 2))])
    layout, found = spans.lay_out(three), []
    for limit in (0, attention.SMALL_PAIRS):
        monkeypatch.setattr(attention, "SMALL_PAIRS", limit)
        torch.manual_seed(0)
        parts = [torch.randn(three.size, heads, 8, requires_grad=True) for heads in (4, groups, groups)]
        result = attention.attend(*parts, layout, None)
        found.append([result, *torch.autograd.grad((result * torch.arange(8)).sum(), parts)])
    for kernel, plain in zip(*found, strict=True):
        torch.testing.assert_close(plain, kernel, rtol=1e-5, atol=1e-5)
