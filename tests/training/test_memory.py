"""The prediction counts what is there, follows the switches that save memory, and a run that cannot fit is refused with the numbers."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from pipelines.models.packing import pack, score_packed
from pipelines.training.memory import Plan, Shape, activations, available, check_fits, predict
from tests.models.test_packing import FAMILIES, flat, make

GIGA = 10**9


@pytest.fixture(scope="module")
def shape():
    with torch.device("meta"):
        return Shape.of(AutoModelForCausalLM.from_config(FAMILIES["qwen2"]))


def test_weights_gradients_and_moments_are_exact(shape):
    model = make()
    count = sum(parameter.numel() for parameter in model.parameters())
    found = predict(shape, Plan(tokens=1))
    assert (found["weights"], found["gradients"], found["optimiser"]) == (4 * count, 4 * count, 8 * count)
    inner = sum(p.numel() for name, p in model.named_parameters() if p.ndim > 1 and "embed" not in name and "head" not in name)
    assert predict(shape, Plan(tokens=1, optimiser="muon"))["optimiser"] == 8 * count - 4 * inner


def test_frozen_weights_have_no_gradient():
    model = make()
    model.model.embed_tokens.requires_grad_(False)
    found = predict(Shape.of(model), Plan(tokens=1))
    assert found["weights"] - found["gradients"] == 4 * model.model.embed_tokens.weight.numel()


def test_activations_are_those_that_autograd_keeps():
    """Counted by the hooks of saved tensors, each storage once, parameters apart."""
    model, packed = make(), pack(flat())
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own and tensor.is_floating_point():
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        score_packed(model, packed, entropy=False)
    tokens = packed.ids.shape[1]
    plan = Plan(tokens=tokens, repeats=len(packed.layout.keys.index) / tokens)
    found = activations(Shape.of(model), plan) / sum(storage.nbytes() for storage in kept.values())
    assert 0.7 < found < 1.3


def test_what_saves_memory_is_seen_to_save_it(shape):
    plain = Plan(tokens=4096, heap=False)
    whole = sum(predict(shape, plain).values())
    for change in ({"half": True}, {"checkpointing": True}, {"tokens": 2048}, {"zero_stage": 1, "ranks": 2}):
        assert sum(predict(shape, replace(plain, **change)).values()) < whole, change
    for change in ({"reference": True}, {"critic": True}, {"heap": True}, {"sequences": 10**5, "length": 1000}):
        assert sum(predict(shape, replace(plain, **change)).values()) > whole, change


def test_zero_stages_divide_moments_gradients_and_weights(shape):
    alone = predict(shape, Plan(tokens=1))
    for stage in range(4):
        found = predict(shape, Plan(tokens=1, zero_stage=stage, ranks=4))
        assert [alone[name] // found[name] for name in ("optimiser", "gradients", "weights")] == [
            4 if stage >= need else 1 for need in (1, 2, 3)
        ]


def test_the_sampler_is_another_phase_than_the_update(shape):
    assert "activations" not in predict(shape, Plan(tokens=1, sequences=1000, length=1000))
    found = predict(shape, Plan(tokens=1, sequences=1000, length=100))
    assert found["sampler: cache"] == 2 * 4 * 2 * 8 * 1000 * 100  # keys and values, bytes, layers, width of two heads of 4


def test_a_run_that_cannot_fit_is_refused_with_the_numbers():
    check_fits({"weights": 8 * GIGA}, 9 * GIGA)
    with pytest.raises(
        MemoryError, match=r"(?s)18\.00 GB, 9\.00 GB are free.*2 processes.*weights +8\.000 GB.*total +9\.000 GB.*micro-batch"
    ):
        check_fits({"weights": 8 * GIGA, "logits": GIGA}, 9 * GIGA, processes=2)


def test_the_machine_has_memory():
    assert 0 < available(torch.device("cpu")) < 1 << 50
