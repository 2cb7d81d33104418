"""Every method of params.yaml runs on the tiny corpus, with its own choices and small sizes."""

import math

import pytest
import torch

from flows.graph.params_file import read_yaml
from flows.graph.presets import with_presets
from pipelines.settings import ROOT, laid_over
from pipelines.training.policy_params import PolicyParams
from tests.tiny import make_tiny_tokens
from tests.training.loops import Loop

SECTION = with_presets(read_yaml(ROOT / "params.yaml"), ROOT)["rl"]
# others want a model that judges
METHODS = [name for name, preset in SECTION["presets"].items() if "reward" not in preset]
SMALL = {"iterations": 2, "sampling": {"max_new_tokens": 8}, "validation_every": 2, "validation_size": 5}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


def test_the_graphs_methods_have_sections():
    assert {run["method"] for run in SECTION["runs"].values()} <= set(SECTION["presets"])
    assert len(METHODS) >= 14


@pytest.mark.parametrize("method", METHODS)
def test_a_preset_runs(tokens, tmp_path, method):
    written = laid_over(SECTION["presets"][method], SECTION["common"])
    written = laid_over(written, SECTION["methods"].get(method, {}))
    whole = PolicyParams.model_validate(written)  # as it is
    small = laid_over(written, SMALL | {"prompts": 24 if whole.responses == 1 else 8})
    if whole.sampler.kind == "tree":
        small["sampler"] = written["sampler"] | {"branching": [3, 2], "segment": 3}
    if whole.refill is not None:
        small["refill"] = written["refill"] | {"prompts": 8, "rounds": 2}
    if whole.shaping.overlong is not None:
        small["shaping"] = written["shaping"] | {"overlong": {"limit": 8, "cache": 3}}
    if whole.critic is not None:
        small["critic"] = written["critic"] | {"warmup": 1}
    loop = Loop(tmp_path, tokens, small)
    before = loop.weights()
    rows = loop.run()
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert all(math.isfinite(value) for row in rows for value in row.values())
    trained = rows[1:]
    assert any(0 < row["accuracy"] < 1 for row in trained)
    assert sum(row["updates"] for row in trained) > 0
    assert any(not torch.equal(old, new) for old, new in zip(before, loop.weights(), strict=True))
    assert all(math.isfinite(float(new.sum())) for new in loop.weights())
