"""StateValues of the states before each token and after the last, packed or one by one; a head that starts at
zero.
"""

import pytest
import torch

from pipelines.models import critic
from pipelines.models.packing import Segment, pack
from tests.models.test_packing import flat, gradients, long_contexts, make, tree


@pytest.fixture
def model():
    found = critic.make(make())
    torch.nn.init.normal_(found.head.weight)
    return found


def alone(model, rows):
    """The backbone over each whole path by itself."""
    before, after = [], []
    for row in rows:
        path = torch.tensor([[token for piece in (*row.context, row.ids) for token in piece]])
        every = model.head(model.backbone(input_ids=path).last_hidden_state)[0, :, 0]
        before.append(every[-len(row.ids) - 1 : -1])
        after.append(every[-1:])
    return torch.cat(before), torch.cat(after)


@pytest.mark.parametrize("shared", [True, False])
def test_values_and_gradients_are_those_of_each_row_alone(model, shared):
    """V_t is the value of the prefix before token t (dpo_vs_ppo.md 5.1.2 and 5.1.4)."""
    rows = flat() + tree() + long_contexts()
    before, after = alone(model, rows)
    expected = gradients(model, torch.cat([before, after]))
    found = critic.values(model, pack(rows, shared))
    torch.testing.assert_close(found.before, before, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.after, after, atol=1e-5, rtol=1e-5)
    for name, gradient in gradients(model, torch.cat(found)).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-4, rtol=1e-4, msg=name)


def test_the_value_after_a_row_is_that_before_what_continues_it(model):
    found = critic.score_values(model, [Segment(((3, 4),), (5, 6)), Segment(((3, 4), (5, 6)), (7,))])
    assert found.after[0] == found.before[2]


def test_it_starts_at_zero_and_leaves_the_policy_alone():
    policy = make()
    model = critic.make(policy)
    found = critic.score_values(model, flat())
    assert not found.before.any()
    assert not found.after.any()
    with torch.no_grad():
        model.backbone.embed_tokens.weight.fill_(1.0)
    assert not torch.equal(policy.get_input_embeddings().weight, model.backbone.embed_tokens.weight)


def test_any_family_with_a_backbone_has_values():
    model = critic.make(make("gpt2"))
    torch.nn.init.normal_(model.head.weight)
    found, expected = critic.score_values(model, flat()), alone(model, flat())
    torch.testing.assert_close(torch.cat(found), torch.cat(expected), atol=1e-5, rtol=1e-5)


def test_values_are_float32_where_the_forward_is_bfloat16(model):
    exact = critic.score_values(model, flat()).before
    with torch.autocast("cpu", torch.bfloat16):
        found = critic.score_values(model, flat()).before
    assert found.dtype == torch.float32
    assert 0 < (found - exact).abs().max() < 0.1
    assert not torch.equal(found, found.bfloat16().float())


def test_saved_and_loaded_it_is_the_same(model, tmp_path):
    critic.save(model, tmp_path)
    other = critic.make(make())
    critic.load(other, tmp_path)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_saved_critic_that_is_not_finite_is_refused(model, tmp_path):
    torch.nn.init.constant_(model.head.weight, float("nan"))
    critic.save(model, tmp_path)
    with pytest.raises(
        ValueError, match=r"critic\.safetensors has weights that are NaN or infinite: head\.weight"
    ):
        critic.load(critic.make(make()), tmp_path)


def test_checkpointing_reaches_the_backbone(model):
    expected = gradients(model, critic.score_values(model, tree()).before)
    model.activation_checkpointing_enable()
    model.train()
    assert model.backbone.is_activation_checkpointing
    found = gradients(model, critic.score_values(model, tree()).before)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], msg=name)
