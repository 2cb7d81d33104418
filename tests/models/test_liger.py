"""Liger's kernels: asked for where they cannot be had, and what they replace where they can be installed."""

from types import SimpleNamespace

import pytest

from pipelines.models.liger import use_liger
from tests.tiny import CPU, make_tiny_model, make_tiny_tokens

GPU = SimpleNamespace(device=SimpleNamespace(type="cuda"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny_model(make_tiny_tokens(tmp_path_factory.mktemp("tokens")))


def test_without_a_gpu_it_is_refused(model):
    with pytest.raises(ValueError, match="needs a GPU"):
        use_liger(model, CPU)


def test_without_the_package_it_says_what_to_do(model, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "liger_kernel.transformers", None)
    with pytest.raises(ImportError, match="pip install liger-kernel"):
        use_liger(model, GPU)


def test_norms_and_mlps_are_replaced_and_weights_stay(model):
    """Without a GPU they can be put in, not run."""
    pytest.importorskip("liger_kernel")
    names = list(model.state_dict())
    use_liger(model, GPU)
    assert "Liger" in repr(model.model.layers[0].mlp.forward)
    assert "Liger" in repr(model.model.norm.forward)
    assert list(model.state_dict()) == names
