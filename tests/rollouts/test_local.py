"""The local engine against the model's own full forward, and the independence of a sample from its batch."""

import pytest
import torch
import transformers

from pipelines.models.logprobs import of_logits
from pipelines.rollouts.counter import child_key, key_tensor, root_key, uniforms
from pipelines.rollouts.engines.draw import draw
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.rollouts.forest import Finish, Prompt
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.rollouts.samplers.flat import grow
from pipelines.rollouts.samplers.options import FlatParams
from tests.tiny import CPU, make_tiny_model, make_tiny_tokens


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


@pytest.fixture(scope="module", params=["qwen2", "llama"])
def engine(tokens, request):
    model = make_tiny_model(tokens, family=request.param)
    with torch.no_grad():  # clear margins, so that float noise flips no token
        for parameter in model.parameters():
            parameter.mul_(4.0)
    return LocalEngine(model, tokens, CPU)


PREFIXES = [[4, 9, 5], [6, 7, 8, 9, 10, 11, 5], [12, 5], [4, 9, 13, 5]]
KEYS = [[child_key(root_key(0, 0, str(prefix)), index) for index in range(3)] for prefix in PREFIXES]
SAMPLING = SamplingParams(temperature=0.8, max_new_tokens=12)


def one_by_one(engine, prefix, key, sampling):
    """The definition: a full forward for every token, no cache, no batch."""
    ids, scores = list(prefix), []
    while len(ids) - len(prefix) < sampling.max_new_tokens:
        with torch.no_grad():
            logits = engine.model(input_ids=torch.tensor([ids])).logits[:, -1]
        chosen, logprob, entropy = draw(logits, uniforms(key_tensor([key]), len(ids) - len(prefix)), sampling)
        ids.append(int(chosen))
        scores.append((float(logprob), float(entropy)))
        if int(chosen) == engine.tokens.eos_id:
            break
    return ids[len(prefix) :], scores


@pytest.mark.parametrize("sampling", [SAMPLING, SamplingParams(temperature=0.0, max_new_tokens=12)])
def test_equals_a_full_forward_for_every_token(engine, sampling):
    for prefix, keys, family in zip(PREFIXES, KEYS, engine.generate(PREFIXES, KEYS, sampling), strict=False):
        for key, completion in zip(keys, family, strict=False):
            ids, scores = one_by_one(engine, prefix, key, sampling)
            assert completion.ids == ids
            torch.testing.assert_close(completion.logprobs, torch.tensor(scores)[:, 0], atol=1e-4, rtol=0)
            torch.testing.assert_close(completion.entropy, torch.tensor(scores)[:, 1], atol=1e-4, rtol=0)
            assert completion.finish == (Finish.EOS if ids[-1] == engine.tokens.eos_id else Finish.CAP)


def test_a_sample_does_not_depend_on_its_batch(engine):
    whole = engine.generate(PREFIXES, KEYS, SAMPLING)
    alone = [
        engine.generate([prefix], [[key]], SAMPLING)[0][0]
        for prefix, keys in zip(PREFIXES, KEYS, strict=False)
        for key in keys
    ]
    small = LocalEngine(engine.model, engine.tokens, CPU, batch=4).generate(
        PREFIXES[::-1], KEYS[::-1], SAMPLING
    )[::-1]
    assert (
        [c.ids for family in whole for c in family]
        == [c.ids for c in alone]
        == [c.ids for family in small for c in family]
    )


def test_stops_at_the_context_and_refuses_a_prefix_that_fills_it(engine):
    (completion,) = engine.generate([[4] * 60], [[1]], SamplingParams(max_new_tokens=12))[0]
    assert completion.finish == (Finish.EOS if completion.ids[-1] == engine.tokens.eos_id else Finish.CONTEXT)
    assert len(completion.ids) <= 4
    with pytest.raises(ValueError, match="context of 64"):
        engine.generate([[4] * 64], [[1]], SAMPLING)


def test_other_stop_ids_end_a_response(engine, tokens, monkeypatch):
    whole = engine.generate(PREFIXES, KEYS, SAMPLING)
    longest = max((c for family in whole for c in family), key=lambda c: len(c.ids))
    monkeypatch.setattr(tokens, "stop_ids", [tokens.eos_id, longest.ids[1]])
    for before, after in zip(
        [c for f in whole for c in f],
        [c for f in engine.generate(PREFIXES, KEYS, SAMPLING) for c in f],
        strict=False,
    ):
        if longest.ids[1] in before.ids:
            cut = before.ids.index(longest.ids[1]) + 1
            assert after.ids == before.ids[:cut]
            assert after.finish == Finish.STOP
        else:
            assert after.ids == before.ids


def test_a_flat_forest_has_each_response_once(engine):
    prompts = [
        Prompt(str(index), prefix, root_key(0, 5, str(index))) for index, prefix in enumerate(PREFIXES)
    ]
    forest = grow(engine, prompts, FlatParams(samples=3), SAMPLING)
    assert forest.leaves() == list(range(12))
    assert [forest.nodes[i].tree for i in range(12)] == [i // 3 for i in range(12)]
    assert forest.context(4) == PREFIXES[1]
    assert forest.response(4) == forest.nodes[4].ids
    again = grow(engine, prompts[::-1], FlatParams(samples=3), SAMPLING)
    assert [node.ids for node in again.nodes[:3]] == [node.ids for node in forest.nodes[9:]]
    assert len({tuple(node.ids) for node in forest.nodes}) > 4


def test_logits_are_read_at_the_last_real_token_despite_padding(engine):
    scores = of_logits(
        engine.model(input_ids=torch.tensor([PREFIXES[2]])).logits[:, -1], torch.tensor([7]), 1.0
    )
    family = engine.generate(PREFIXES, KEYS, SamplingParams(max_new_tokens=1))[2]
    assert family[0].entropy[0].item() == pytest.approx(scores.entropy.item(), abs=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "longrope"])
def test_a_finished_row_does_not_run_past_the_context(tokens, kind):
    """It goes on in the batch until it is dropped: no learned position is beyond the last, and no other
    factors of a rotation are taken.
    """
    torch.manual_seed(0)
    common = {"vocab_size": tokens.vocab_size, "initializer_range": 0.3}
    if kind == "gpt2":
        small = {
            "n_embd": 16,
            "n_layer": 2,
            "n_head": 2,
            "n_positions": 16,
            "attn_pdrop": 0,
            "embd_pdrop": 0,
            "resid_pdrop": 0,
        }
        config = transformers.GPT2Config(**common, **small)
    else:
        rope = {
            "rope_type": "longrope",
            "rope_theta": 100.0,
            "short_factor": [1.0] * 4,
            "long_factor": [4.0] * 4,
            "factor": 4.0,
        }
        small = {
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
        }
        rope |= {"original_max_position_embeddings": 16}
        ends = {"pad_token_id": 0, "eos_token_id": tokens.eos_id, "bos_token_id": None}
        config = transformers.LlamaConfig(
            **common, **small, **ends, max_position_embeddings=64, rope_parameters=rope
        )
    engine = LocalEngine(transformers.AutoModelForCausalLM.from_config(config).eval(), tokens, CPU)
    keys, short = [[root_key(0, 0, str(number))] for number in range(8)], [[4, 5, 6]] * 8
    alone = engine.generate(short, keys, SamplingParams(max_new_tokens=12))
    beside = engine.generate([*short, [5] * 14], [*keys, [1]], SamplingParams(max_new_tokens=12))[:8]
    for (one,), (other,) in zip(alone, beside, strict=True):
        assert one.ids == other.ids
        torch.testing.assert_close(one.logprobs, other.logprobs, atol=1e-4, rtol=0)
