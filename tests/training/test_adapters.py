"""Low-rank adapters: only they learn, switched off they are the reference, merged they are a plain model."""

import pytest
import torch

from pipelines.models import adapters, policy
from pipelines.models.adapter_params import AdapterParams
from pipelines.models.logprobs import score
from pipelines.training.engine import TorchEngine
from pipelines.training.options import OptimiserParams
from tests.tiny import ARCHITECTURE, CPU, make_tiny_model, make_tiny_tokens

IDS = torch.tensor([[4, 5, 6, 7, 8], [9, 4, 4, 5, 1]])
RESPONSE = torch.tensor([[False, False, True, True, True]] * 2)
SETTINGS = AdapterParams(rank=4, alpha=8)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


def logprobs(model):
    with torch.no_grad():
        return score(model, IDS, RESPONSE).logprobs


def trained(tokens, steps=2, **optimiser):
    """An engine whose adapters have moved, and the log-probs of the model before."""
    model = make_tiny_model(tokens)
    before = logprobs(model)
    engine = TorchEngine(
        adapters.add(model, SETTINGS, seed=1), OptimiserParams(learning_rate=0.01, **optimiser), CPU
    )
    for _ in range(steps):
        engine.backward(engine.forward(IDS, RESPONSE).logprobs.sum())
        engine.step(1.0)
    return engine, before


def test_new_adapters_change_nothing_and_depend_on_their_seed_alone(tokens):
    models = []
    for noise, seed in ((1, 5), (2, 5), (2, 6)):
        model = make_tiny_model(tokens)
        before = logprobs(model)
        torch.manual_seed(noise)
        models.append(adapters.add(model, SETTINGS, seed).state_dict())
        assert torch.equal(logprobs(model), before)
        assert adapters.present(model)
    name = next(name for name in models[0] if "lora_A" in name)
    assert torch.equal(models[0][name], models[1][name])
    assert not torch.equal(models[1][name], models[2][name])


def test_only_adapters_get_gradients_and_change(tokens):
    engine, _ = trained(tokens, steps=1)  # after it, both factors have a gradient
    before = {name: value.clone() for name, value in engine.model.state_dict().items()}
    engine.backward(engine.forward(IDS, RESPONSE).logprobs.sum())
    for name, parameter in engine.model.named_parameters():
        assert (parameter.grad is not None and bool(parameter.grad.any())) == ("lora_" in name), name
    engine.step(1.0)
    for name, value in engine.model.state_dict().items():
        assert torch.equal(value, before[name]) == ("lora_" not in name), name


def test_switched_off_they_are_the_reference(tokens):
    engine, before = trained(tokens)
    after = logprobs(engine.model)
    assert not torch.allclose(after, before, atol=1e-3)
    with adapters.switched_off(engine.model) as reference:
        assert torch.equal(logprobs(reference), before)
    assert torch.equal(logprobs(engine.model), after)
    engine.backward(engine.forward(IDS, RESPONSE).logprobs.sum())
    assert engine.step(1.0) > 0, "they learn on afterwards"


def test_merged_computes_the_same_and_leaves_no_trace(tokens):
    engine, _ = trained(tokens)
    state = {name: value.clone() for name, value in engine.model.state_dict().items()}
    after = logprobs(engine.model)
    with engine.gathered() as model:
        torch.testing.assert_close(logprobs(model), after, atol=1e-5, rtol=0)
        assert not torch.equal(
            model.model.layers[0].self_attn.q_proj.weight,
            state["model.layers.0.self_attn.q_proj.base_layer.weight"],
        )
    assert all(torch.equal(value, state[name]) for name, value in engine.model.state_dict().items())


@pytest.mark.parametrize("inside", [False, True])
def test_a_saved_model_is_plain_and_the_same(tokens, tmp_path, inside):
    engine, _ = trained(tokens)
    expected = logprobs(engine.model)
    if inside:
        with engine.gathered() as model:
            policy.save(model, tokens, tmp_path / "model")
    else:
        policy.save(engine.model, tokens, tmp_path / "model")
    loaded, _ = policy.load(tmp_path / "model")
    assert not adapters.present(loaded)
    assert loaded.state_dict().keys() == make_tiny_model(tokens).state_dict().keys()
    torch.testing.assert_close(logprobs(loaded), expected, atol=1e-5, rtol=0)


def test_a_checkpoint_holds_the_adapters_alone_and_goes_on_to_the_same_numbers(tokens, tmp_path):
    engine, _ = trained(tokens, steps=2)
    engine.save(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size < 4 * sum(
        p.numel() for p in engine.model.parameters() if p.requires_grad
    ) + 10_000
    again = TorchEngine(
        adapters.add(make_tiny_model(tokens), SETTINGS, seed=2), OptimiserParams(learning_rate=0.01), CPU
    )
    again.load(tmp_path)
    for one in (engine, again):
        one.backward(one.forward(IDS, RESPONSE).logprobs.sum())
        one.step(1.0)
    assert torch.equal(logprobs(again.model), logprobs(engine.model))


def test_gradient_checkpointing_gives_the_same_gradient(tokens):
    plain, _ = trained(tokens)
    other, _ = trained(tokens, gradient_checkpointing=True)
    torch.testing.assert_close(logprobs(other.model), logprobs(plain.model))


def test_a_target_that_no_layer_has_is_an_error(tokens):
    with pytest.raises(ValueError, match="nowhere"):
        adapters.add(make_tiny_model(tokens), AdapterParams(targets=("nowhere",)), 0)


def untied(tokens):
    architecture = ARCHITECTURE.model_copy(update={"tie_embeddings": False})
    return policy.without_dropout(policy.build(architecture, tokens, 0))


@pytest.mark.parametrize(
    ("targets", "named"), [(("q_proj", "lm_head"), "lm_head"), (("embed_tokens",), "model.embed_tokens")]
)
def test_a_target_with_a_tied_weight_is_refused_and_untied_it_learns(tokens, targets, named):
    """Merged into a tied weight, it would change what the other place computes as well."""
    settings = AdapterParams(rank=4, alpha=8, targets=targets)
    with pytest.raises(
        ValueError,
        match=rf"names {named}, whose weight is also that of .*tie_embeddings: false.*or leave {named} out",
    ):
        adapters.add(make_tiny_model(tokens), settings, 1)
    engine = TorchEngine(adapters.add(untied(tokens), settings, 1), OptimiserParams(learning_rate=0.05), CPU)
    before = logprobs(engine.model)
    for _ in range(5):
        engine.backward(-engine.forward(IDS, RESPONSE).logprobs.sum())
        engine.step(1.0)
    after = logprobs(engine.model)
    assert not torch.allclose(after, before, atol=1e-2)
    with engine.gathered() as merged:
        torch.testing.assert_close(logprobs(merged), after, atol=1e-4, rtol=0)
