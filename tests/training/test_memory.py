"""The prediction counts what is there, follows the switches that save memory, and a run that cannot fit is
refused with the numbers.
"""

from dataclasses import replace

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModelForCausalLM

from pipelines.models import adapters, policy
from pipelines.models.adapter_params import AdapterParams
from pipelines.models.free_memory import available
from pipelines.models.packing import Segment, pack, score_packed, score_rows
from pipelines.models.placement import Placement
from pipelines.rollouts.engines.fused import FusedForward, copied_weight_bytes, fusible, refresh_bytes
from pipelines.rollouts.engines.in_flight import BATCH, Request, RolloutMemory, token_bytes
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.training.engine import TorchEngine
from pipelines.training.memory import MemoryPlan, ModelShape, activation_bytes, check_fits, meta_copy, predict
from pipelines.training.options import OptimiserParams
from tests.models.test_packing import FAMILIES, flat, make
from tests.tiny import CPU, make_tiny_model, make_tiny_tokens
from tests.training.stages import COMMON, PPO, make_inputs, make_stage, run

GIGA = 10**9
WIDE = {"hidden_size": 256, "intermediate_size": 1024, "head_dim": 64}  # packed, in float32 on a CPU


@pytest.fixture(scope="module")
def shape():
    with torch.device("meta"):
        return ModelShape.of(AutoModelForCausalLM.from_config(FAMILIES["qwen2"]))


def test_weights_gradients_and_moments_are_exact(shape):
    model = make()
    count = sum(parameter.numel() for parameter in model.parameters())
    found = predict(shape, MemoryPlan(tokens=1))
    assert (found["weights"], found["gradients"], found["optimiser"]) == (4 * count, 4 * count, 8 * count)
    inner = sum(
        p.numel()
        for name, p in model.named_parameters()
        if p.ndim > 1 and "embed" not in name and "head" not in name
    )
    assert predict(shape, MemoryPlan(tokens=1, optimiser="muon"))["optimiser"] == 8 * count - 4 * inner


def test_frozen_weights_have_no_gradient():
    model = make()
    model.model.embed_tokens.requires_grad_(False)
    found = predict(ModelShape.of(model), MemoryPlan(tokens=1))
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
    plan = MemoryPlan(tokens=tokens, repeats=len(packed.layout.keys.index) / tokens)
    found = activation_bytes(ModelShape.of(model), plan) / sum(storage.nbytes() for storage in kept.values())
    assert 0.7 < found < 1.3


def test_what_saves_memory_is_seen_to_save_it(shape):
    plain = MemoryPlan(tokens=4096, heap=False)
    whole = sum(predict(shape, plain).values())
    for change in ({"half": True}, {"checkpointing": True}, {"tokens": 2048}, {"zero_stage": 1, "ranks": 8}):
        assert sum(predict(shape, replace(plain, **change)).values()) < whole, change
    for change in (
        {"reference": True},
        {"critic": shape},
        {"copies": GIGA},
        {"heap": True},
        {"cached": 10**8},
    ):
        assert sum(predict(shape, replace(plain, **change)).values()) > whole, change


def test_zero_stages_divide_moments_gradients_and_weights(shape):
    alone = predict(shape, MemoryPlan(tokens=1))
    for stage in range(4):
        found = predict(shape, MemoryPlan(tokens=1, zero_stage=stage, ranks=4))
        assert [alone[name] // found[name] for name in ("optimiser", "gradients", "weights")] == [
            4 if stage >= need else 1 for need in (1, 2, 3)
        ]


def test_the_sampler_is_another_phase_than_the_update(shape):
    assert "activations" not in predict(shape, MemoryPlan(tokens=1, cached=10**6))
    found = predict(shape, MemoryPlan(tokens=1, cached=10**5))
    # keys and values, bytes, layers, width of two heads of 4
    assert found["sampler: cache"] == 2 * 4 * 2 * 8 * 1000 * 100


def allocated(profiled):
    """Bytes of what was allocated in the profile and lives, after each allocation and release, in order."""
    found, events, alive, totals = (
        [],
        list(profiled.profiler.kineto_results.experimental_event_tree()),
        {},
        [0],
    )
    while events:
        event = events.pop()
        events += event.children
        if hasattr(event.extra_fields, "total_allocated"):
            found.append((event.start_time_ns, event.extra_fields))
    for _, fields in sorted(found, key=lambda one: one[0]):
        if fields.alloc_size > 0:
            alive[fields.ptr] = fields.alloc_size
            totals.append(totals[-1] + fields.alloc_size)
        elif fields.ptr in alive:  # else it is from before: rubbish of another test
            totals.append(totals[-1] - alive.pop(fields.ptr))
    return totals


def test_what_the_sampler_copies_lives_through_the_update(shape):
    for plan in (MemoryPlan(tokens=4096, copies=GIGA), MemoryPlan(tokens=1, copies=GIGA, cached=10**6)):
        found = predict(shape, plan)
        assert found["sampler: weights"] == GIGA, found
        assert ("activations" in found) == (plan.tokens > 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ["qwen2", "llama", "qwen3"])
@pytest.mark.parametrize(
    "changes", [{}, WIDE, WIDE | {"tie_word_embeddings": True}], ids=["narrow", "wide", "tied"]
)
def test_the_sampler_holds_what_is_counted_and_nothing_twice(family, changes, dtype):
    model = make(family, **changes)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        forward = FusedForward(model, dtype)
        forward.refresh()
    held = allocated(profiled)[-1]
    matrices = copied_weight_bytes(model, dtype, torch.device("cpu"))
    vectors = 2 * 4 * sum(parameter.numel() for parameter in model.parameters() if parameter.ndim == 1) + 1000
    assert matrices <= held <= matrices + vectors


def test_stage_3_samples_from_whole_weights(shape):
    plan = MemoryPlan(tokens=1, cached=10**6, zero_stage=3, ranks=4)
    found, cut = predict(shape, plan), predict(shape, replace(plan, zero_stage=2))
    whole = 4 * shape.parameters
    assert sum(size for name, size in found.items() if "weights" in name) == whole + whole // 4
    assert sum(size for name, size in cut.items() if "weights" in name) == whole
    assert predict(shape, replace(plan, ranks=1)) == predict(shape, replace(plan, ranks=1, zero_stage=0)), (
        "one process divides nothing"
    )


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("adapter", [None, AdapterParams()], ids=["whole", "lora"])
def test_the_prediction_is_the_peak_of_what_lives(tokens, dtype, adapter):
    """Two iterations of sampling and updating, every allocation noted by torch's profiler."""
    placement = Placement(torch.device("cpu"), dtype)
    rows = [Segment(((4, 5, 6, 7),), (8, 9, 10, 4 + index)) for index in range(4)]
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        model = make(tie_word_embeddings=True, **WIDE)
        if adapter:
            adapters.add(model, adapter, 0)
        engine, sampler = (
            TorchEngine(model, OptimiserParams(), placement),
            LocalEngine(model, tokens, placement),
        )
        for _ in range(2):
            with engine.gathered():
                sampler.generate([[4, 5]], [list(range(4))], SamplingParams(max_new_tokens=4))
            sampler.release_memory()
            for _ in range(2):
                engine.backward(-engine.apply(score_rows, rows, 1.0, False).logprobs.sum())
            engine.step(1.0)
    with adapters.switched_off(model):  # as they are while it samples
        own = [
            size(model, dtype, placement.device) if fusible(model) else 0
            for size in (copied_weight_bytes, refresh_bytes)
        ]
    half = dtype == torch.bfloat16
    sampling = dict(zip(("copies", "refreshed"), own, strict=True)) | {"cached": 4 * 6, "sequences": 4}
    found = predict(
        ModelShape.of(model), MemoryPlan(tokens=20, repeats=1.0, half=half, heap=False, **sampling)
    )
    peak = max(allocated(profiled))
    assert 0.97 < sum(found.values()) / peak < 1.15, (found, peak)


def test_a_hollow_model_has_the_shape_and_no_weights(tokens):
    model = make_tiny_model(tokens)
    model.model.embed_tokens.requires_grad_(False)
    empty = meta_copy(model)
    assert ModelShape.of(empty) == ModelShape.of(model)
    assert {weight.device.type for weight in (*empty.parameters(), *empty.buffers())} == {"meta"}
    assert {weight.device.type for weight in model.parameters()} == {"cpu"}


def test_adapters_alone_are_trained_and_the_critic_whole(tmp_path, tokens, monkeypatch):
    make_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    seen = {}
    monkeypatch.setattr(
        "tasks.policy_memory.check_fits",
        lambda needed, *_: (seen.update(needed), (_ for _ in ()).throw(MemoryError))[1],
    )
    settings = AdapterParams(rank=4, alpha=8)
    changes = {
        "adapter": settings.model_dump(),
        "reference": {"rate": 0.0},
        "sampling": {"max_new_tokens": 8},
    }
    stage = make_stage(
        tmp_path,
        "rl@ppo",
        sections={"rl.common": COMMON, "rl.methods.ppo": PPO | changes},
        micro_batch_tokens=1,
    )
    with pytest.raises(MemoryError):
        run(stage)
    whole = sum(weight.numel() for weight in make_tiny_model(tokens).parameters())
    model = adapters.add(make_tiny_model(tokens), settings, 0)
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert trained < whole / 2
    assert (seen["weights"], seen["gradients"], seen["optimiser"]) == (
        4 * (whole + trained),
        4 * trained,
        8 * trained,
    )
    assert seen["critic: weights, gradients, optimiser"] == 16 * whole
    clones = [module.base_layer.weight.numel() for module in model.modules() if hasattr(module, "base_layer")]
    assert seen["sampler: adapted weights as they were"] == 4 * sum(clones)


def test_a_run_that_cannot_fit_is_refused_with_the_numbers():
    check_fits({"weights": 8 * GIGA}, 9 * GIGA)
    with pytest.raises(
        MemoryError,
        match=r"(?s)18\.00 GB for 2 processes.*8\.10 of 9\.00 GB free.*weights, 16\.00 GB.*micro_batch_tokens.*weights +8\.000 GB.*total +9\.000 GB",
    ):
        check_fits({"weights": 8 * GIGA, "logits": GIGA}, 9 * GIGA, processes=2)


def test_the_machine_has_memory():
    assert 0 < available(torch.device("cpu")) < 1 << 50


def requests_of(monkeypatch, tmp_path, execution=None, **changes):
    """What the stage asks its sampler for, and what it predicts, without running it."""
    from tasks import policy_memory

    make_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    asked, seen, plain = [], {}, policy_memory.sampling_requests
    monkeypatch.setattr(
        policy_memory, "sampling_requests", lambda *rest: (asked.extend(plain(*rest)), asked)[1]
    )
    monkeypatch.setattr(
        policy_memory,
        "check_fits",
        lambda needed, *_: (seen.update(needed), (_ for _ in ()).throw(MemoryError))[1],
    )
    with pytest.raises(MemoryError):
        run(
            make_stage(
                tmp_path,
                "rl@ppo",
                sections={"rl.common": COMMON, "rl.methods.ppo": PPO | changes},
                **(execution or {}),
            )
        )
    return asked, seen


def test_what_is_predicted_is_what_the_run_samples_at_once(tmp_path, monkeypatch):
    """And not the caches of execution.sample_batch rows that nobody asks for."""
    sampling = {
        "prompts": 4,
        "sampler": {"kind": "flat", "samples": 3},
        "sampling": {"max_new_tokens": 5},
        "validation_every": 0,
    }
    asked, small = requests_of(
        monkeypatch, tmp_path, {"sample_batch": 1024, "micro_batch_tokens": 1}, **sampling
    )
    assert [(one.rows, one.prefixes, one.new) for one in asked] == [(12, 4, 5)]
    model = policy.load(tmp_path / "models/sft/model")[0]
    each = token_bytes(model.config, torch.float32)
    room = RolloutMemory(torch.device("cpu"), torch.get_num_threads(), fusible(model), each)
    assert room.cache_bytes(asked[0], 1024) <= each * 12 * (asked[0].prefix + 5)
    assert small.get("sampler: cache", 0) <= each * 12 * (asked[0].prefix + 5)


@pytest.mark.parametrize("lean", [True, False])
def test_the_largest_batch_that_fits_is_taken(lean):
    room, request = (
        RolloutMemory(torch.device("cpu"), 1, lean, 1000),
        Request(rows=4096, prefixes=4096, prefix=300, new=100),
    )
    assert room.fitting_batch(request, 1 << 40) == BATCH
    found = [room.fitting_batch(request, free) for free in (10**8, 10**7, 10**6, 0)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == 1
    for batch, free in zip(found, (10**8, 10**7, 10**6), strict=False):
        assert batch == 1 or room.cache_bytes(request, batch) <= free
        assert batch == BATCH or room.cache_bytes(request, 2 * batch) > free


def test_a_sampler_with_little_memory_takes_fewer_rows_and_draws_the_same(tokens, monkeypatch):
    model, keys = make_tiny_model(tokens), [[10 * row + each for each in range(4)] for row in range(5)]
    plenty = LocalEngine(model, tokens, CPU).generate([[4, 5, 6]] * 5, keys, SamplingParams(max_new_tokens=6))
    monkeypatch.setattr("pipelines.rollouts.engines.in_flight.available", lambda device: 20_000)
    seen, original = [], RolloutMemory.fitting_batch
    monkeypatch.setattr(
        RolloutMemory, "fitting_batch", lambda *words: (seen.append(original(*words)), seen[-1])[1]
    )
    little = LocalEngine(model, tokens, CPU).generate([[4, 5, 6]] * 5, keys, SamplingParams(max_new_tokens=6))
    assert len(seen) == 1
    assert 1 <= seen[0] < 20
    assert [[one.ids for one in family] for family in little] == [
        [one.ids for one in family] for family in plenty
    ]


def test_a_refusal_for_the_caches_names_their_setting():
    with pytest.raises(MemoryError, match=r"sampler: cache, 25\.70 GB.*execution\.sample_batch: auto"):
        check_fits({"weights": GIGA, "sampler: cache": int(25.7 * GIGA)}, 24 * GIGA)
