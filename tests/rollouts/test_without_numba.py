"""The CPU kernels are optional: where numba cannot be imported, the engine samples the same tokens by TorchScript."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipelines.rollouts.engines.cpu import kernels_for
from pipelines.rollouts.engines.fused import FusedForward
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.rollouts.rollout_params import SamplingParams
from tests.rollouts.test_fused import make
from tests.tiny import CPU, make_tiny_tokens

ROOT = Path(__file__).resolve().parents[2]
WIDE = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}


class Refusing:
    """An import hook: numba and llvmlite are not installed."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("numba", "llvmlite"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def sampled(folder):
    """Ids, log-probs and entropies of 12 completions after prefixes that differ in length, some of them shared."""
    tokens = make_tiny_tokens(folder)
    engine = LocalEngine(make("qwen3", tokens, **WIDE), tokens, CPU)
    prefixes = [[4, 5, 6], [7, 8, 9, 10, 11], [4, 5, 6, 7], [9]]
    keys = [[10 * row + index for index in range(3)] for row in range(len(prefixes))]
    families = engine.generate(prefixes, keys, SamplingParams(max_new_tokens=12, temperature=0.8))
    return [
        (one.ids, one.logprobs.tolist(), one.entropy.tolist(), one.finish)
        for family in families
        for one in family
    ]


def test_without_numba_the_same_tokens_are_sampled(tmp_path):
    here = sampled(tmp_path / "here")
    assert "numba" in sys.modules
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.rollouts.test_without_numba", str(tmp_path / "there")]
    run = subprocess.run(
        command, cwd=ROOT, env=environment, timeout=120, check=True, stdout=subprocess.PIPE, text=True
    )
    there = json.loads(run.stdout.splitlines()[-1])
    assert len(here) == len(there) == 12
    for (ids, logprobs, entropy, finish), (*others, other_finish) in zip(here, there, strict=True):
        assert (ids, finish) == (others[0], other_finish)
        assert logprobs == pytest.approx(others[1], abs=1e-4)
        assert entropy == pytest.approx(others[2], abs=1e-4)


@pytest.mark.parametrize(
    ("device", "dtype", "width"),
    [("cuda", torch.float32, 16), ("cpu", torch.bfloat16, 16), ("cpu", torch.float32, 24)],
)
def test_what_the_kernels_do_not_cover_is_left_to_the_others(device, dtype, width):
    assert kernels_for(torch.device("cpu"), torch.float32, 32) is not None
    assert kernels_for(torch.device(device), dtype, width) is None


def main(folder):
    sys.meta_path.insert(0, Refusing())
    completions = sampled(Path(folder))
    assert "numba" not in sys.modules
    tokens = make_tiny_tokens(Path(folder) / "again")
    assert not FusedForward(make("qwen3", tokens, **WIDE), torch.float32).by_width
    print(json.dumps(completions))


if __name__ == "__main__":
    main(sys.argv[1])
