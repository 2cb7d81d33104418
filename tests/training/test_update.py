"""One denominator: the gradient of an optimiser batch is the same however it is cut; rows without signal cost no forward."""

import pytest
import torch

from pipelines.models.logprobs import score
from pipelines.objectives.clip import clipped_surrogate
from pipelines.objectives.divergence import kl_estimate
from pipelines.training.collection import Row
from pipelines.training.engine import TorchEngine
from pipelines.training.optimiser_params import OptimiserParams
from pipelines.training.policy_params import PolicyParams
from pipelines.training.supervised import Demonstrations, batch_loss
from pipelines.training.supervised_params import SupervisedParams
from pipelines.training.update import Updater
from tests.tiny import CPU, make_records, make_tiny_model, make_tiny_tokens


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


def gradients(engine):
    found = torch.cat([parameter.grad.flatten() for parameter in engine.model.parameters() if parameter.grad is not None])
    engine.model.zero_grad()
    return found


BUDGETS = [10_000, 40, 16]  # one, a few and one micro-batch per row


@pytest.mark.parametrize("aggregation", ["token_mean", "seq_mean_token_mean"])
def test_supervised_gradients_do_not_depend_on_the_cut(tokens, aggregation):
    engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU)
    data = Demonstrations(make_records(tokens, 8), 64)
    data.ids = [ids[: data.prompts[i] + 1 + i % 5] for i, ids in enumerate(data.ids)]  # mixed lengths
    settings = SupervisedParams(steps=1, aggregation=aggregation)
    results = []
    for budget in BUDGETS:
        loss = batch_loss(engine, data, list(range(8)), settings, tokens.pad_id, budget, learn=True)
        results.append((loss, gradients(engine)))
    for loss, gradient in results[1:]:
        assert loss == pytest.approx(results[0][0], rel=1e-6)
        torch.testing.assert_close(gradient, results[0][1], atol=1e-7, rtol=1e-4)


def rows(tokens, reference=True):
    generator = torch.Generator().manual_seed(0)
    made = []
    for index in range(7):
        count = 1 + index % 4
        ids = torch.randint(4, tokens.vocab_size, (3 + count,), generator=generator).tolist()
        old = -torch.rand(count, generator=generator) * 3
        advantages = torch.full((count,), [1.5, -0.5, 0.0][index % 3])
        made.append(Row(ids, 3, old, old, torch.rand(count, generator=generator), advantages, old - 0.3 if reference else None))
    return made


@pytest.mark.parametrize("aggregation", ["token_mean", "seq_mean_token_mean", "seq_mean_token_sum"])
@pytest.mark.parametrize("settings", [{}, {"kl_coef": 0.5}, {"whiten": True}])
def test_policy_gradients_do_not_depend_on_the_cut(tokens, aggregation, settings):
    engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU)
    results = []
    for budget in BUDGETS:
        updater = Updater(engine, PolicyParams(aggregation=aggregation, **settings), tokens.pad_id, 0, budget)
        sums = updater.batch(rows(tokens))
        results.append((sums["loss"], gradients(engine)))
    for loss, gradient in results[1:]:
        assert loss == pytest.approx(results[0][0], rel=1e-5, abs=1e-7)
        torch.testing.assert_close(gradient, results[0][1], atol=1e-6, rtol=1e-4)
    assert results[0][1].abs().max() > 0


def test_the_loss_is_the_written_formula(tokens):
    """token mean of the surrogate plus beta times the mean over sequences of summed k3 (methods/spo.md section 4.1)."""
    engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU)
    settings, data = PolicyParams(kl_coef=0.5, sampling={"temperature": 0.6}), rows(tokens)
    found = Updater(engine, settings, tokens.pad_id, 0, 30).batch(data)["loss"]
    surrogate, divergence, count = 0.0, 0.0, 0
    for row in data:
        response = torch.tensor([[False] * 3 + [True] * len(row.advantages)])
        new = score(engine.model, torch.tensor([row.ids]), response, 0.6).logprobs.detach()
        surrogate += float(clipped_surrogate(new, row.old_logprobs, row.advantages, 0.2, 0.28)[0].sum())
        divergence += float(kl_estimate(new, row.reference, "k3").sum())
        count += len(new)
    assert found == pytest.approx(surrogate / count + 0.5 * divergence / len(data), rel=1e-5)


def test_rows_without_signal_stay_in_the_denominator_but_out_of_the_forward(tokens, monkeypatch):
    engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU)
    updater = Updater(engine, PolicyParams(), tokens.pad_id, 0, 10_000)
    seen = []
    forward = engine.forward
    monkeypatch.setattr(engine, "forward", lambda ids, *rest: (seen.append(len(ids)), forward(ids, *rest))[1])
    data = rows(tokens, reference=False)
    all_rows = updater.batch(data)["loss"]
    gradients(engine)
    signal = [row for row in data if row.advantages.any()]
    alone = updater.batch(signal)["loss"]
    assert seen == [len(signal)] * 2
    assert len(signal) < len(data)
    share = sum(len(row.advantages) for row in signal) / sum(len(row.advantages) for row in data)
    assert all_rows == pytest.approx(alone * share, rel=1e-5)


def test_a_batch_without_any_signal_gives_no_gradient(tokens):
    engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU)
    data = rows(tokens, reference=False)
    for row in data:
        row.advantages = torch.zeros_like(row.advantages)
    assert Updater(engine, PolicyParams(), tokens.pad_id, 0, 100).batch(data).get("loss", 0.0) == 0.0
    assert all(parameter.grad is None for parameter in engine.model.parameters())
