"""Log-probs and entropies at response positions against the plain full-vocabulary computation (methods/entropy.md section 7 items 1-3)."""

import pytest
import torch

from pipelines.models import logprobs
from pipelines.models.logprobs import of_logits, score
from tests.tiny import make_tiny_model, make_tiny_tokens


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny_model(make_tiny_tokens(tmp_path_factory.mktemp("tokens")))


IDS = torch.tensor([[4, 5, 6, 7, 8, 1], [9, 4, 10, 1, 0, 0]])
RESPONSE = torch.tensor([[0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 0, 0]]).bool()


def plain(model, temperature):
    every = torch.log_softmax(model(input_ids=IDS).logits[:, :-1] / temperature, -1)
    chosen = every.gather(-1, IDS[:, 1:, None]).squeeze(-1)
    return chosen[RESPONSE[:, 1:]], -(every.exp() * every).sum(-1)[RESPONSE[:, 1:]]


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_equals_the_full_computation(model, temperature):
    found, expected = score(model, IDS, RESPONSE, temperature), plain(model, temperature)
    torch.testing.assert_close(found.logprobs, expected[0])
    torch.testing.assert_close(found.entropy, expected[1])
    assert not found.entropy.requires_grad


@pytest.mark.parametrize("path", ["generic", "chunked"])
def test_other_paths_give_the_same_numbers_and_gradients(model, monkeypatch, path):
    def gradients():
        model.zero_grad()
        scores = score(model, IDS, RESPONSE, 0.7)
        scores.logprobs.sum().backward()
        return scores, [parameter.grad.clone() for parameter in model.parameters()]

    before, expected = gradients()
    if path == "generic":
        monkeypatch.setattr(logprobs, "PLAIN_HEADS", frozenset())
    else:
        monkeypatch.setattr(logprobs, "CHUNK", 3)
    after, found = gradients()
    torch.testing.assert_close(after.logprobs, before.logprobs)
    torch.testing.assert_close(after.entropy, before.entropy)
    for one, other in zip(found, expected, strict=False):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_entropy_worked_numbers():
    """(2, 1, 0): .832396; uniform over 3: ln 3; adding a constant changes nothing."""
    rows = torch.tensor([[2.0, 1.0, 0.0], [102.0, 101.0, 100.0], [0.0, 0.0, 0.0]])
    found = of_logits(rows, torch.tensor([0, 0, 0]), 1.0).entropy
    assert found.tolist() == pytest.approx([0.832396, 0.832396, 1.098612], abs=1e-5)
