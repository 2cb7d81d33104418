"""Log-probs and entropies at response positions against the plain full-vocabulary computation (entropy.md 7.1
to 7.3).
"""

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
        monkeypatch.setattr(logprobs, "CHUNK", 3 * 17)
    after, found = gradients()
    torch.testing.assert_close(after.logprobs, before.logprobs)
    torch.testing.assert_close(after.entropy, before.entropy)
    for one, other in zip(found, expected, strict=False):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def entropy(probabilities):
    logits = torch.tensor([probabilities], dtype=torch.float64).log()
    return float(of_logits(logits, torch.tensor([0]), 1.0).entropy)


def test_1_entropies_of_known_distributions():
    """entropy.md 7.1."""
    assert entropy([0.25] * 4) == pytest.approx(1.386294, abs=1e-6)
    assert entropy([1 / 151_936] * 151_936) == pytest.approx(11.931215, abs=1e-6)
    assert entropy([1.0, 0.0, 0.0]) == 0.0
    assert entropy([0.9, 0.1]) == pytest.approx(0.325083, abs=1e-6)
    assert entropy([0.7, 0.2, 0.1]) == pytest.approx(0.801819, abs=1e-6)


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, 0.832396), (2.0, 1.020191), (0.5, 0.441057)])
def test_2_temperature_counts_and_a_constant_does_not(temperature, expected):
    """entropy.md 7.2."""
    rows = torch.tensor([[2.0, 1.0, 0.0], [102.0, 101.0, 100.0]])
    assert of_logits(rows, torch.tensor([0, 0]), temperature).entropy.tolist() == pytest.approx(
        [expected] * 2, abs=1e-5
    )


@pytest.mark.parametrize("chunk", [1, 3, 64, 1 << 20])
def test_3_any_tiling_and_chunk_size_agrees(monkeypatch, chunk):
    """entropy.md 7.3: streamed over tiles of the vocabulary, by chunks of tokens, or at once, to 1e-12 in
    float64.
    """
    generator = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(6, 11, bias=False, dtype=torch.float64)
    states, chosen = torch.randn(9, 6, generator=generator, dtype=torch.float64), torch.arange(9)
    logits = head(states).detach()
    top, mass, weighted = torch.full((9, 1), -float("inf")), torch.zeros(9, 1), torch.zeros(9, 1)
    top, mass, weighted = top.double(), mass.double(), weighted.double()
    for tile in logits.split(4, 1):
        higher = torch.maximum(top, tile.max(1, keepdim=True).values)
        scale = (top - higher).exp()
        shift = torch.where(mass > 0, top - higher, 0.0)
        weighted = scale * (weighted + mass * shift) + ((tile - higher).exp() * (tile - higher)).sum(
            1, keepdim=True
        )
        mass, top = scale * mass + (tile - higher).exp().sum(1, keepdim=True), higher
    monkeypatch.setattr(logprobs, "CHUNK", chunk)
    found = logprobs.by_chunks(head, states, chosen, 1.0)
    torch.testing.assert_close(found.entropy, (mass.log() - weighted / mass)[:, 0], atol=1e-12, rtol=0)
    torch.testing.assert_close(
        found.logprobs, (logits.gather(1, chosen[:, None]) - top - mass.log())[:, 0], atol=1e-12, rtol=0
    )


def test_4_the_gradient_of_the_entropy():
    """entropy.md 7.4: dH/dz = -p (ln p + H), sums to 0."""
    logits = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64).log().requires_grad_()
    logprobs.entropy_of(torch.log_softmax(logits, -1)).backward()
    assert logits.grad.tolist() == pytest.approx([-0.311601, 0.161524, 0.150077], abs=1e-6)
    assert float(logits.grad.sum()) == pytest.approx(0, abs=1e-12)


def test_bfloat16_logits_are_scored_in_float32():
    """entropy.md 8.6: entropies of peaked rows are off by up to 0.12 nats in bfloat16."""
    logits = torch.randn(50, 1000, generator=torch.Generator().manual_seed(0)).mul(8).bfloat16()
    found, exact = (
        of_logits(part, torch.zeros(50, dtype=torch.long), 1.0) for part in (logits, logits.double())
    )
    assert found.entropy.dtype == torch.float32
    torch.testing.assert_close(found.entropy.double(), exact.entropy, atol=1e-5, rtol=0)


def test_an_entropy_nobody_asked_for_is_not_computed(monkeypatch):
    monkeypatch.setattr(logprobs, "entropy_of", None)
    assert not of_logits(torch.ones(2, 3), torch.tensor([0, 1]), 1.0, entropy=False).entropy.any()
