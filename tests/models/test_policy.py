"""Models from scratch and from a folder: the contract travels with them, and what does not fit is refused
with a reason.
"""

import json

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, LlamaConfig, Phi3Config

from pipelines.models import policy
from pipelines.models.base_params import ArchitectureParams, BaseParams
from pipelines.models.packing import Segment, score_rows
from pipelines.models.tokenizer import Tokens
from pipelines.models.tokenizer_params import CharTokenizer, TemplateParams
from pipelines.models.tokenizer_training import make_tokens
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.sources.manifest import SourceError
from pipelines.sources.opening import unrecorded
from tests.tiny import CPU, make_tiny_model, make_tiny_tokens


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_weights_survive_the_folder_and_depend_on_the_seed_alone(tokens, tmp_path, family):
    model = make_tiny_model(tokens, seed=3, family=family)
    policy.save(model, tokens, tmp_path)
    loaded, own = policy.load(tmp_path, tokens)
    assert loaded.config.vocab_size == tokens.vocab_size == own.vocab_size
    ids = torch.tensor([[4, 5, 6]])
    assert torch.equal(loaded(input_ids=ids).logits, model(input_ids=ids).logits)
    again = make_tiny_model(tokens, seed=3, family=family).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())
    assert not torch.equal(
        make_tiny_model(tokens, seed=4).get_input_embeddings().weight, model.get_input_embeddings().weight
    )


def test_the_same_model_is_saved_to_the_same_bytes(tokens, tmp_path):
    for name in ("a", "b"):
        policy.save(make_tiny_model(tokens), tokens, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokens.json"} <= set(files)
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)


def test_a_folder_beside_another_tokenizer_is_refused(tokens, tmp_path):
    policy.save(make_tiny_model(tokens), tokens, tmp_path / "model")
    other = make_tokens(CharTokenizer(kind="char"), TemplateParams(), [("abc", None)], tmp_path / "other")
    with pytest.raises(ValueError, match="other"):
        policy.load(tmp_path / "model", other)


def test_damaged_weights_name_the_folder(tokens, tmp_path):
    policy.save(make_tiny_model(tokens), tokens, tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="cut short or damaged"):
        policy.load(tmp_path)


def test_weights_that_could_run_code_are_refused(tokens, tmp_path):
    model = make_tiny_model(tokens)
    policy.save(model, tokens, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="safetensors"):
        policy.load(tmp_path)


def fetch(folder, tokens, **settings):
    return policy.fetch(
        BaseParams(pretrained=str(folder), **settings), tokens, 0, unrecorded, trust_remote_code=False
    )


def test_a_pretrained_folder_is_taken_over_and_its_vocabulary_compared(tokens, tmp_path):
    model = make_tiny_model(tokens)
    policy.save(model, tokens, tmp_path / "model")
    assert torch.equal(fetch(tmp_path / "model", tokens).lm_head.weight, model.lm_head.weight)
    other = make_tokens(
        CharTokenizer(kind="char"),
        TemplateParams(),
        [("abcdefghijkl ", None)],
        tmp_path / "other",
    )
    with pytest.raises(ValueError, match=r"differ in .* ids"):
        fetch(tmp_path / "model", other)


def test_embeddings_grow_only_when_asked(tokens, tmp_path):
    small = make_tiny_model(tokens)
    small.resize_token_embeddings(tokens.vocab_size - 2, mean_resizing=False)
    small.config.save_pretrained(tmp_path)
    small.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="resize_embeddings"):
        fetch(tmp_path, tokens)
    grown = fetch(tmp_path, tokens, resize_embeddings=True)
    assert grown.get_input_embeddings().weight.shape[0] == tokens.vocab_size
    assert torch.equal(grown.get_input_embeddings().weight[:-2], small.get_input_embeddings().weight)


def test_an_unknown_id_offline_says_the_way_out(tokens, monkeypatch):
    # what execution.offline sets before the library is imported
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError, match=r"execution\.offline"):
        policy.fetch(
            BaseParams(pretrained="nobody/nothing-of-that-name"),
            tokens,
            0,
            unrecorded,
            trust_remote_code=False,
        )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "either architecture"),
        ({"architecture": {}, "pretrained": "x"}, "either architecture"),
        ({"architecture": {}, "revision": "x"}, "belong to pretrained"),
        ({"architecture": {"hidden_size": 30, "heads": 4}}, "whole even number"),
        ({"architecture": {"heads": 4, "kv_heads": 3}}, "must divide heads"),
    ],
)
def test_contradictions_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        BaseParams.model_validate(settings)


def test_dropout_is_off_for_good(tokens):
    model = policy.build(
        ArchitectureParams(hidden_size=32, intermediate_size=64, layers=1, heads=2, context=64), tokens, 0
    )
    model.model.layers[0].self_attn.attention_dropout = 0.5
    ids = torch.tensor([[4, 5, 6, 7]])
    policy.without_dropout(model).train()
    assert torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)


def test_the_contract_file_is_part_of_the_folder(tokens, tmp_path):
    policy.save(make_tiny_model(tokens), tokens, tmp_path)
    assert json.loads((tmp_path / "tokens.json").read_text())["eos_id"] == tokens.eos_id
    assert Tokens.load(tmp_path).digest == tokens.digest


def make_longrope(kind, tokens):
    """64 positions, 16 of them with the short factors, whose angles are four times the long ones'."""
    rotary = {
        "rope_type": "longrope",
        "rope_theta": 100.0,
        "short_factor": [1.0] * 4,
        "long_factor": [4.0] * 4,
        "factor": 4.0,
    }
    more = {"original_max_position_embeddings": 16, "sliding_window": None} if kind is Phi3Config else {}
    config = kind(
        vocab_size=tokens.vocab_size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        pad_token_id=tokens.pad_id,
        eos_token_id=tokens.eos_id,
        bos_token_id=None,
        rope_parameters=rotary | {"original_max_position_embeddings": 16},
        **more,
    )
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("kind", [LlamaConfig, Phi3Config])
def test_a_row_of_a_longrope_model_does_not_depend_on_a_longer_neighbour(tokens, kind):
    """The longest that fits; one token more, and both rows would be computed with the long factors."""
    model = make_longrope(kind, tokens)
    context = policy.context_size(model)
    assert context == 16
    row, prompt = Segment(((4, 5, 6),), (7, 8, 9)), [5] * (context - 2)

    def beside(length):
        with torch.no_grad():
            return score_rows(
                model, [row, Segment((tuple(prompt),), (7,) * (length - len(prompt)))]
            ).logprobs[:3]

    with torch.no_grad():
        alone = score_rows(model, [row]).logprobs
    torch.testing.assert_close(beside(context), alone, atol=1e-5, rtol=0)
    assert not torch.allclose(beside(context + 1), alone, atol=1e-2), "else the model proves nothing"
    engine, sampling = LocalEngine(model, tokens, CPU), SamplingParams(max_new_tokens=8)
    (one,), (other, _) = (
        engine.generate([[4, 5, 6]], [[1]], sampling),
        engine.generate([[4, 5, 6], prompt], [[1], [2]], sampling),
    )
    assert one[0].ids == other[0].ids
    torch.testing.assert_close(one[0].logprobs, other[0].logprobs, atol=1e-5, rtol=0)


def test_other_rotations_leave_the_context_as_it_is(tokens):
    assert policy.context_size(make_tiny_model(tokens)) == 64
