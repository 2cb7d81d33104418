"""The torch engine: precision, gradient checkpointing and parameter groups change what they should and
nothing else.
"""

import pytest
import torch

from pipelines.models.placement import Placement
from pipelines.training.engine import TorchEngine, make_optimisers
from pipelines.training.options import OptimiserParams
from tests.tiny import CPU, make_tiny_model, make_tiny_tokens

IDS = torch.tensor([[4, 5, 6, 7, 8, 1], [9, 4, 10, 1, 0, 0]])
RESPONSE = torch.tensor([[0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 0, 0]]).bool()


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


def learn(engine, steps=1):
    for _ in range(steps):
        engine.backward(-engine.forward(IDS, RESPONSE).logprobs.mean())
        engine.step(1.0)
    return {name: value.clone() for name, value in engine.model.state_dict().items()}


def test_gradient_checkpointing_changes_no_number(tokens):
    plain, saving = (
        TorchEngine(make_tiny_model(tokens), OptimiserParams(gradient_checkpointing=flag), CPU)
        for flag in (False, True)
    )
    first, second = learn(plain, 2), learn(saving, 2)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_bfloat16_is_the_forward_only(tokens):
    engine = TorchEngine(
        make_tiny_model(tokens), OptimiserParams(learning_rate=1e-6), Placement.resolve("cpu", "bfloat16")
    )
    exact = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU).forward(IDS, RESPONSE).logprobs
    rounded = engine.forward(IDS, RESPONSE).logprobs
    assert 0 < (exact - rounded).abs().max() < 0.05
    before = {name: value.clone() for name, value in engine.model.state_dict().items()}
    after = learn(engine)
    assert all(value.dtype == torch.float32 for value in after.values())
    moved = (after["model.norm.weight"] - before["model.norm.weight"]).abs().max()
    assert 0 < moved < 2e-6, "an update of 1e-6 would vanish in bfloat16 weights"


def test_saved_and_loaded_it_goes_on_to_the_same_bits(tokens, tmp_path):
    for kind in ("adamw", "muon"):
        engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(kind=kind), CPU)
        learn(engine, 2)
        (tmp_path / kind).mkdir()
        engine.save(tmp_path / kind)
        other = TorchEngine(make_tiny_model(tokens, seed=9), OptimiserParams(kind=kind), CPU)
        other.load(tmp_path / kind)
        expected, found = learn(engine, 2), learn(other, 2)
        assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_a_loaded_engine_still_follows_the_schedule(tokens, tmp_path):
    engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU)
    learn(engine)
    engine.save(tmp_path)
    before = {name: value.clone() for name, value in engine.model.state_dict().items()}
    engine.load(tmp_path)
    engine.backward(-engine.forward(IDS, RESPONSE).logprobs.mean())
    engine.step(0.0)
    assert all(torch.equal(value, before[name]) for name, value in engine.model.state_dict().items())


def test_a_discarded_gradient_is_gone(tokens):
    one, other = (TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU) for _ in range(2))
    one.backward(one.forward(IDS, RESPONSE).logprobs.sum())
    one.zero_grad()
    first, second = learn(one), learn(other)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_any_function_of_the_model_can_be_trained(tokens):
    """A scorer of one's own, as a critic has; weights that it does not use get no gradient and stay."""
    engine = TorchEngine(
        make_tiny_model(tokens),
        OptimiserParams(),
        CPU,
        scorer=lambda model, ids: model.get_input_embeddings()(ids).mean(),
    )
    assert engine.forward(IDS).ndim == 0
    engine.backward(engine.apply(lambda model, ids: model.get_input_embeddings()(ids).sum(), IDS))
    engine.step(1.0)
    fresh = make_tiny_model(tokens).state_dict()
    changed = {
        name for name, value in engine.model.state_dict().items() if not torch.equal(value, fresh[name])
    }
    assert changed == {"model.embed_tokens.weight", "lm_head.weight"}  # tied


def test_vectors_have_their_own_rate_and_no_decay_and_muon_takes_only_the_layers_matrices(tokens):
    model = make_tiny_model(tokens)
    settings = OptimiserParams(kind="muon", learning_rate=1e-3, vector_learning_rate=1e-2, weight_decay=0.1)
    adamw, muon = make_optimisers(model, settings)
    matrices, vectors = adamw.param_groups
    assert [group["lr"] for group in (matrices, vectors)] == [1e-3, 1e-2]
    assert vectors["weight_decay"] == 0.0
    assert [parameter.shape for parameter in matrices["params"]] == [
        model.get_input_embeddings().weight.shape
    ]
    inside = [parameter for group in muon.param_groups for parameter in group["params"]]
    assert len(inside) == 2 * 7
    assert len(inside) + len(matrices["params"]) + len(vectors["params"]) == len(list(model.parameters()))


def test_a_broken_gradient_stops_the_run(tokens):
    engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU)
    engine.backward(engine.forward(IDS, RESPONSE).logprobs.sum() * float("nan"))
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        engine.step(1.0)


def test_the_norm_is_before_clipping_and_a_limit_of_zero_is_off(tokens):
    norms = []
    for limit in (0.0, 1e-3):
        engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(grad_clip=limit), CPU)
        engine.backward(-engine.forward(IDS, RESPONSE).logprobs.mean())
        norms.append(engine.step(1.0))
    assert norms[0] == norms[1] > 1e-3
