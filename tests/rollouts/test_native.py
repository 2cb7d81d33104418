"""The compiled kernels against the same arithmetic in numpy and torch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.rollouts.engines import kernels
from pipelines.rollouts.engines.cache import SLACK, cache_buffer
from pipelines.rollouts.engines.cpu import forward as cpu
from pipelines.rollouts.engines.cpu import native
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.rollouts.rollout_params import SamplingParams
from tests.rollouts.test_fused import make, requests
from tests.tiny import CPU, make_tiny_tokens

ROOT = Path(__file__).resolve().parents[2]


def exponentials(values):
    made = np.array(values, np.float32)
    native.exponentials(made, np.empty(len(made), np.int32), len(made))
    return made


@settings(deadline=None)
@given(st.lists(st.floats(-87, 88, width=32), min_size=1, max_size=70))
def test_exponentials_are_exact_to_the_last_bits(values):
    np.testing.assert_allclose(
        exponentials(values), np.exp(np.array(values, np.float32).astype(np.float64)), rtol=3e-7
    )


def test_exponentials_of_what_is_no_number():
    made = exponentials([-np.inf, -1e30, -200.0, 0.0, np.nan])
    assert made[:4].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert np.isnan(made[4])


def test_norm_and_gate_are_those_of_torch():
    torch.manual_seed(0)
    hidden, joint = (
        torch.randn(5, 48) * 3,
        torch.randn(5, 2 * 37) * torch.tensor([1.0, 10.0, 100.0, 1e-3, 1e4])[:, None],
    )
    normed, inner = torch.empty_like(hidden), torch.empty(5, 37)
    native.rms_norm(hidden.numpy(), normed.numpy(), 1e-6)
    native.silu_product(joint.numpy(), inner.numpy())
    torch.testing.assert_close(normed, torch.nn.functional.rms_norm(hidden, (48,), None, 1e-6))
    first, second = joint.chunk(2, -1)
    torch.testing.assert_close(inner, torch.nn.functional.silu(first) * second, atol=1e-6, rtol=1e-5)


@settings(deadline=None, max_examples=40)
@given(
    group=st.integers(1, 5),
    kv_heads=st.integers(1, 3),
    width=st.sampled_from([16, 32, 48, 80]),
    starts=st.lists(st.integers(0, 20), min_size=1, max_size=4),
    own=st.integers(1, 40),
    lengths=st.lists(st.integers(0, 35), min_size=1, max_size=3),
    normed=st.booleans(),
    seed=st.integers(0, 9),
)
def test_attention_over_a_prefix_and_own_tokens(group, kv_heads, width, starts, own, lengths, normed, seed):
    """Whatever the starts, the lengths and the place: softmax(q k / 1) v by einsum, over what a row may see
    and nothing else.
    """
    generator = np.random.default_rng(seed)
    draw = lambda *shape: generator.standard_normal(shape).astype(np.float32)  # noqa: E731
    rows, column, heads = len(starts), max(starts) + own - 1, group * kv_heads
    columns, prefix_columns = column + 3, max(lengths)
    of = generator.integers(0, len(lengths), rows)
    keys = cache_buffer(torch.empty(0), (kv_heads, rows, columns, width), True).copy_(
        torch.from_numpy(draw(kv_heads, rows, columns, width))
    )
    before = cache_buffer(torch.empty(0), (kv_heads, len(lengths), prefix_columns, width), True)
    before.copy_(torch.from_numpy(draw(kv_heads, len(lengths), prefix_columns, width)))
    values, prefix_values = (
        draw(kv_heads, rows, columns, width),
        draw(kv_heads, len(lengths), prefix_columns, width),
    )
    joint, angles = draw(rows, (heads + 2 * kv_heads) * width), draw(99, width // 2)
    gains = draw(heads + kv_heads, width) if normed else np.empty((0, width), np.float32)
    turned, mixed = joint.copy(), np.empty((rows, heads * width), np.float32)
    table = np.stack([np.cos(angles), np.sin(angles)], -1)
    native.attend(
        turned,
        gains,
        1e-6,
        table,
        keys.transpose(2, 3).numpy(),
        values,
        column,
        np.array(starts),
        before.transpose(2, 3).numpy(),
        prefix_values,
        np.array(lengths),
        of,
        mixed,
    )
    for row, (start, family) in enumerate(zip(starts, of, strict=True)):
        position = lengths[family] + column - start
        parts = torch.from_numpy(joint[row]).view(-1, width)
        pairs = parts[: heads + kv_heads]
        if normed:
            pairs = torch.nn.functional.rms_norm(pairs, (width,), None, 1e-6) * torch.from_numpy(gains)
        rotation = torch.polar(torch.ones(width // 2), torch.from_numpy(angles[position]))
        pairs = torch.view_as_real(
            torch.view_as_complex(pairs.unflatten(-1, (-1, 2)).contiguous()) * rotation
        ).flatten(-2)
        own_keys, own_values = keys[:, row].clone(), torch.from_numpy(values[:, row])
        torch.testing.assert_close(own_keys[:, column], pairs[heads:], atol=1e-5, rtol=1e-5)  # written
        torch.testing.assert_close(own_values[:, column], parts[heads + kv_heads :])
        first = prefix_columns - lengths[family]
        seen = torch.cat([before[:, family, first:], own_keys[:, start : column + 1]], 1)
        worth = torch.cat(
            [torch.from_numpy(prefix_values[:, family, first:]), own_values[:, start : column + 1]], 1
        )
        weights = torch.einsum("hgw,htw->hgt", pairs[:heads].view(kv_heads, group, width), seen).softmax(-1)
        expected = torch.einsum("hgt,htw->hgw", weights, worth).flatten()
        torch.testing.assert_close(torch.from_numpy(mixed[row]), expected, atol=1e-4, rtol=1e-4)


@settings(deadline=None)
@given(st.integers(1, 80), st.integers(0, 9), st.floats(0.1, 8.0))
def test_a_token_is_the_one_that_torch_picks(vocabulary, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(40, vocabulary, generator=generator) * scale
    logits[:20].masked_fill_(torch.rand(20, vocabulary, generator=generator) < 0.4, -torch.inf)
    logits[:20, seed % vocabulary] = 0.0
    uniform = torch.rand(40, generator=generator)
    for drawn in (uniform, None):
        ids, logprobs, entropy = cpu.sample_tokens(logits, drawn)
        others = kernels.sample_tokens(logits, drawn, masked=True)
        assert torch.equal(ids, others[0])
        torch.testing.assert_close(logprobs, others[1], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(entropy, others[2], atol=1e-5, rtol=1e-5)


def test_the_ends_of_the_unit_interval_and_what_is_no_number():
    nothing = -torch.inf
    logits = torch.tensor(
        [
            [nothing, 0.0, 0.0, nothing],
            [nothing, 0.0, 0.0, nothing],
            [0.0, torch.nan, 0.0, 0.0],
            [nothing] * 4,
        ]
    )
    ids, logprobs, entropy = cpu.sample_tokens(logits, torch.tensor([0.0, 1 - 2.0**-24, 0.5, 0.5]))
    assert ids[:2].tolist() == [1, 2]
    assert (ids < 4).all()
    assert torch.isfinite(logprobs[:2]).all()
    assert torch.isfinite(entropy[:2]).all()
    assert torch.isnan(logprobs[2:]).all()
    assert torch.isnan(entropy[2:]).all()


FRESH = """
import hashlib, sys
import torch
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.rollouts.rollout_params import SamplingParams
from tests.rollouts.test_fused import make, requests
from tests.tiny import CPU, make_tiny_tokens
from pathlib import Path

torch.set_num_threads(1)
tokens = make_tiny_tokens(Path(sys.argv[1]))
made = LocalEngine(make("qwen3", tokens, num_hidden_layers=1), tokens, CPU).generate(*requests([3, 9, 40], 8), SamplingParams(max_new_tokens=20))
found = hashlib.sha256()
for completion in (completion for family in made for completion in family):
    found.update(str(completion.ids).encode() + completion.logprobs.numpy().tobytes() + completion.entropy.numpy().tobytes())
print(found.hexdigest())
"""


def test_what_was_compiled_just_now_and_what_comes_from_the_cache_give_the_same_bits(tmp_path):
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    runs = [
        subprocess.run(
            [sys.executable, "-c", FRESH, str(tmp_path / name)],
            env=env,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in ("first", "second")
    ]
    assert list((tmp_path / "cache").rglob("*.nbc"))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("part", ["q_proj", "k_proj", "v_proj", "o_proj"])
def test_weights_that_are_no_numbers_show_in_the_log_probs(part, tmp_path):
    tokens = make_tiny_tokens(tmp_path)
    model = make("llama", tokens)
    getattr(model.model.layers[1].self_attn, part).weight.data[0, 0] = torch.nan
    made = LocalEngine(model, tokens, CPU).generate(*requests([4, 7], 3), SamplingParams(max_new_tokens=5))
    assert all(torch.isnan(completion.logprobs[1:]).all() for family in made for completion in family)


def test_a_buffer_by_width_has_its_columns_side_by_side_and_room_behind():
    made = cache_buffer(torch.empty(0), (2, 3, 5, 16), by_width=True)
    assert made.shape == (2, 3, 5, 16)
    assert made.transpose(2, 3).is_contiguous()
    assert made.untyped_storage().nbytes() == (2 * 3 * 5 * 16 + SLACK) * 4


def test_without_a_folder_for_the_cache_it_is_compiled_anew():
    code = (
        "from numba.core import caching; caching.CacheImpl._locator_classes = []; "
        "from pipelines.rollouts.engines.cpu import native; assert native.COMPILED['cache'] is False; "
        "import numpy as np; assert native.dot(np.ones(20, np.float32), np.ones(20, np.float32), 0, 20) == 20"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
