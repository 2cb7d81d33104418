"""Reward models: scores at the last token however rows are packed, a folder that plain transformers loads,
ensembles, bad folders.
"""

import json

import pytest
import torch
from transformers import AutoModelForSequenceClassification, GPT2Config, GPT2LMHeadModel

from pipelines.models import adapters, score_head
from pipelines.models.adapter_params import AdapterParams
from pipelines.models.packing import Segment
from tests.tiny import make_tiny_model, make_tiny_tokens

ROWS = [
    Segment(((4, 5, 6),), (7, 8, 1)),
    Segment(((4, 5, 6),), (9,)),
    Segment(((4, 5, 6), (7, 8)), (9, 10, 1)),
    Segment(((7, 8),), (9, 9, 4, 1)),
]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


def gpt2(tokens):
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=tokens.vocab_size,
        n_positions=32,
        n_embd=16,
        n_layer=2,
        n_head=2,
        pad_token_id=0,
        eos_token_id=1,
    )
    return GPT2LMHeadModel(config)


def alone(model):
    """Each row's score by the classifier's own forward on that row."""
    whole = [[token for piece in (*row.context, row.ids) for token in piece] for row in ROWS]
    return torch.cat([model(input_ids=torch.tensor([ids])).logits[:, 0] for ids in whole])


@pytest.mark.parametrize("family", ["qwen2", "llama", "gpt2"])
def test_scores_are_those_of_the_classifier_on_each_row_alone(tokens, family):
    policy = gpt2(tokens) if family == "gpt2" else make_tiny_model(tokens, family=family)
    model = score_head.make(policy, 0)
    scores = score_head.score_ends(model, ROWS)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, alone(model), rtol=1e-4, atol=1e-5)
    scores.sum().backward()
    grown = {name for name, value in model.named_parameters() if value.grad is not None and value.grad.any()}
    assert len(grown) > 5


def test_the_backbone_is_a_copy_and_the_head_depends_on_the_seed_alone(tokens):
    policy = make_tiny_model(tokens)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, same, other = (score_head.make(policy, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.score.weight, same.score.weight)
    assert not torch.equal(one.score.weight, other.score.weight)
    for name, value in policy.base_model.state_dict().items():
        assert torch.equal(one.base_model.state_dict()[name], value)
    with torch.no_grad():
        one.base_model.embed_tokens.weight.zero_()
    assert policy.base_model.embed_tokens.weight.any()


def test_a_saved_model_loads_here_and_by_plain_transformers(tokens, tmp_path):
    model = score_head.make(make_tiny_model(tokens), 3)
    score_head.save(model, tokens, tmp_path)
    loaded, own = score_head.load(tmp_path)
    assert own.digest == tokens.digest
    assert torch.equal(score_head.score_ends(loaded, ROWS), score_head.score_ends(model, ROWS))
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(alone(plain), score_head.score_ends(model, ROWS), rtol=1e-4, atol=1e-5)
    whole = [[token for piece in (*row.context, row.ids) for token in piece] for row in ROWS]
    ids = torch.tensor([row + [tokens.pad_id] * (8 - len(row)) for row in whole])
    padded = plain(input_ids=ids, attention_mask=(ids != tokens.pad_id).long()).logits[:, 0]
    torch.testing.assert_close(padded, alone(plain), rtol=1e-4, atol=1e-5)


def test_adapters_leave_the_head_trained_and_are_merged_when_saved(tokens, tmp_path):
    model = score_head.add_adapters(
        score_head.make(make_tiny_model(tokens), 0), AdapterParams(rank=2, alpha=4), 0
    )
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert "score.weight" in trained
    assert all("lora_" in name for name in trained - {"score.weight"})
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.1)
    score_head.save(model, tokens, tmp_path)
    loaded, _ = score_head.load(tmp_path)
    assert not adapters.present(loaded)
    torch.testing.assert_close(
        score_head.score_ends(loaded, ROWS), score_head.score_ends(model, ROWS), rtol=1e-4, atol=1e-5
    )


def test_an_ensemble_scores_by_the_mean_and_comes_back(tokens, tmp_path):
    policy = make_tiny_model(tokens)
    ensemble = score_head.RewardEnsemble([score_head.make(policy, seed) for seed in range(3)])
    each = score_head.score_members(ensemble, ROWS)
    assert each.shape == (3, len(ROWS))
    assert each.std(0).min() > 0
    torch.testing.assert_close(score_head.score_ends(ensemble, ROWS), each.mean(0))
    score_head.save(ensemble, tokens, tmp_path)
    loaded, _ = score_head.load(tmp_path)
    assert torch.equal(score_head.score_members(loaded, ROWS), each)
    assert score_head.score_members(loaded.members[1], ROWS).shape == (1, len(ROWS))


def test_bad_folders_are_named(tokens, tmp_path):
    model = score_head.make(make_tiny_model(tokens), 0)
    score_head.save(model, tokens, tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    with pytest.raises(ValueError, match="weights cannot be read"):
        score_head.load(tmp_path)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match="run its stage again"):
        score_head.load(tmp_path)
    from pipelines.models import policy

    policy.save(make_tiny_model(tokens), tokens, tmp_path)
    facts = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(
        json.dumps(facts | {"architectures": ["Qwen2ForSequenceClassification"]})
    )
    with pytest.raises(ValueError, match=r"no weights for score\.weight \(in model\.safetensors\)"):
        score_head.load(tmp_path)
