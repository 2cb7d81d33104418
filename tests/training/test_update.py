"""One denominator: the gradient of an optimiser batch is the same however it is cut; rows without signal cost
no forward.
"""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.models.logprobs import score
from pipelines.objectives.clip import clipped_surrogate
from pipelines.objectives.divergence import kl_estimate
from pipelines.training.engine import TorchEngine
from pipelines.training.guard import NotFinite
from pipelines.training.micro_batches import MicroBatcher
from pipelines.training.options import OptimiserParams, SupervisedParams
from pipelines.training.policy_params import PolicyParams
from pipelines.training.ranks import Ranks
from pipelines.training.supervised import Demonstrations, batch_loss
from pipelines.training.training_row import TrainingRow
from pipelines.training.update import Updater, even_cuts
from tests.tiny import CPU, make_records, make_tiny_model, make_tiny_tokens


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


def gradients(engine):
    found = torch.cat(
        [parameter.grad.flatten() for parameter in engine.model.parameters() if parameter.grad is not None]
    )
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
        loss = batch_loss(engine, data, list(range(8)), settings, budget, learn=True)
        results.append((loss, gradients(engine)))
    for loss, gradient in results[1:]:
        assert loss == pytest.approx(results[0][0], rel=1e-6)
        torch.testing.assert_close(gradient, results[0][1], atol=1e-7, rtol=1e-4)


def rows(tokens, reference=True, replace=None):
    """Seven rows of three prompts, two of them sharing a first segment; advantages 1.5, -0.5 and 0."""
    generator = torch.Generator().manual_seed(0)

    def some(count):
        return tuple(torch.randint(4, tokens.vocab_size, (count,), generator=generator).tolist())

    prompts, first, made = [some(3) for _ in range(3)], some(2), []
    for index in range(7):
        count = 1 + index % 4
        old = -torch.rand(count, generator=generator) * 3
        advantages = torch.full((count,), [1.5, -0.5, 0.0][index % 3])
        context = (prompts[index % 3], first) if index in (3, 6) else (prompts[index % 3],)
        entropy = torch.rand(count, generator=generator)
        made.append(
            TrainingRow(
                f"q{index % 3}",
                context,
                some(count),
                old,
                old,
                entropy,
                advantages,
                old - 0.3 if reference else None,
            )
        )
    return made


def updater(engine, settings, budget, ranks=None, shared=True):
    return Updater(engine, settings, 0, MicroBatcher(budget, ranks or Ranks.single(), shared))


class OneOfTwo(Ranks):
    """A rank of two that talks to nobody: its part of the work, without the other's."""

    def all_gather(self, items):
        return list(items)

    def sum(self, value):
        return value


SETTINGS = [
    {},
    {"kl": {"use": "loss", "coef": 0.5}},
    {"whitening": {"how": "standard"}},
    {"mask": {"kind": "top_entropy", "share": 0.4, "denominator": "all"}},
    {"mask": {"kind": "probability", "below": 0.5, "of": "current"}},
    {"objective": {"kind": "clip_cov", "share": 0.2, "least": 0.01}},
    {"objective": {"kind": "kl_cov", "share": 0.3}},
    {"objective": "reinforce", "block": 2},
]


@pytest.mark.parametrize("aggregation", ["token_mean", "seq_mean_token_mean", "seq_mean_token_sum"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_policy_gradients_do_not_depend_on_the_cut(tokens, aggregation, settings):
    """One micro-batch, a few, one per row; packed with shared contexts or padded; on one rank or two: the
    same gradient.
    """
    engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU)
    settings = PolicyParams(aggregation=aggregation, **settings)
    results = []
    for budget in BUDGETS:
        for shared in (True, False):
            one = updater(engine, settings, budget, shared=shared)
            results.append(
                (one.accumulate_gradient(one.plan_batch(rows(tokens))).sum("loss"), gradients(engine))
            )
        halves = [updater(engine, settings, budget, OneOfTwo(index, 2)) for index in (0, 1)]
        plan = updater(engine, settings, budget).plan_batch(rows(tokens))  # every rank makes the same plan
        loss = sum(half.accumulate_gradient(plan).sum("loss") for half in halves)
        results.append((loss, gradients(engine)))
    for loss, gradient in results[1:]:
        assert loss == pytest.approx(results[0][0], rel=1e-5, abs=1e-7)
        torch.testing.assert_close(gradient, results[0][1], atol=1e-6, rtol=1e-4)
    assert results[0][1].abs().max() > 0


def test_the_loss_is_the_written_formula(tokens):
    """token mean of the surrogate plus beta times the mean over sequences of summed k3 (spo.md 4.1)."""
    engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU)
    settings, data = (
        PolicyParams(kl={"use": "loss", "coef": 0.5}, sampling={"temperature": 0.6}),
        rows(tokens),
    )
    one = updater(engine, settings, 30)
    found = one.accumulate_gradient(one.plan_batch(data)).sum("loss")
    surrogate, divergence, count = 0.0, 0.0, 0
    for row in data:
        before = [token for piece in row.context for token in piece]
        response = torch.tensor([[False] * len(before) + [True] * len(row.ids)])
        new = score(engine.model, torch.tensor([[*before, *row.ids]]), response, 0.6).logprobs.detach()
        surrogate += float(clipped_surrogate(new, row.old_logprobs, row.advantages, 0.2, 0.2)[0].sum())
        divergence += float(kl_estimate(new, row.reference_logprobs, "k3").sum())
        count += len(new)
    assert found == pytest.approx(surrogate / count + 0.5 * divergence / len(data), rel=1e-5)


AGGREGATIONS = ["token_mean", "seq_mean_token_mean", "seq_mean_token_sum", "seq_mean_token_sum_norm"]


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("block", [0, 2])
def test_a_response_counts_once_however_many_segments_it_has(tokens, aggregation, block):
    """The mean over sequences of spo.md 4.1 is one over responses: three of them, whole or cut."""
    engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU)
    pull = {"use": "loss", "coef": 1.0, "aggregation": aggregation}
    one, results = updater(engine, PolicyParams(aggregation=aggregation, kl=pull, block=block), 100), []
    whole = [row for row in rows(tokens) if len(row.ids) > 1][:3]
    for cut in (False, True):
        data = []
        for number, row in enumerate(whole):
            edges = [0, *(range(1, len(row.ids)) if cut else ()), len(row.ids)]
            for start, end in pairwise(edges):
                context, part = (*row.context, row.ids[:start]) if start else row.context, slice(start, end)
                tensors = (
                    row.old_logprobs,
                    row.old_logprobs,
                    row.entropy,
                    row.advantages,
                    row.reference_logprobs,
                )
                data.append(
                    TrainingRow(
                        row.question,
                        context,
                        row.ids[part],
                        *(each[part] for each in tensors),
                        sequence=number,
                    )
                )
        results.append((one.accumulate_gradient(one.plan_batch(data)).sum("loss"), gradients(engine)))
    assert len(data) > 3
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-5)
    torch.testing.assert_close(results[1][1], results[0][1], atol=1e-6, rtol=1e-4)


def test_updates_never_divide_a_response(tokens, monkeypatch):
    engine, data = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU), rows(tokens)
    for index, row in enumerate(data):
        row.sequence = [0, 0, 0, 1, None, None, 2][index]
    one, seen = updater(engine, PolicyParams(updates_per_epoch=3, epochs=4), 100), []
    plan = one.plan_batch
    monkeypatch.setattr(
        one, "plan_batch", lambda batch, *rest, **more: (seen.append(batch), plan(batch, *rest, **more))[1]
    )
    one.update(data, 0, 1.0)
    assert len(seen) == 12
    for batch in seen:
        assert len({row.sequence for row in batch if row.sequence is not None}) + sum(
            row.sequence is None for row in batch
        ) in (1, 2)
        assert sum(row.sequence == 0 for row in batch) in (0, 3)


@given(st.integers(0, 50), st.integers(1, 60))
def test_updates_are_of_equal_size(count, parts):
    sizes = [end - start for start, end in pairwise(even_cuts(count, parts))]
    assert sum(sizes) == count
    assert len(sizes) == min(count, parts)
    assert not sizes or (min(sizes) > 0 and max(sizes) - min(sizes) <= 1)


def test_cutpoints_and_mask_see_the_same_probabilities(tokens):
    """spo.md 11: a token that the sampler cut at is not taken out by what the trainer computes."""
    engine, data = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU), rows(tokens)
    for row in data:
        row.sampler_logprobs, row.old_logprobs = (
            torch.full_like(row.old_logprobs, -0.106),
            torch.full_like(row.old_logprobs, -0.105),
        )
    mask = {"kind": "probability", "below": 0.9}  # of e^-.106 = .8994 and e^-.105 = .9003
    chain = {
        "sampler": {"kind": "chain", "partition": "cutpoint"},
        "credit": "segment_chain",
        "old_logprobs": "trainer",
    }
    for settings, kept in (
        (PolicyParams(mask=mask, **chain), True),
        (PolicyParams(mask=mask, old_logprobs="trainer"), False),
    ):
        assert {bool(part.all()) for part in updater(engine, settings, 100).plan_batch(data).loss_mask} == {
            kept
        }


def test_rows_without_signal_stay_in_the_denominator_but_out_of_the_forward(tokens, monkeypatch):
    engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU)
    one, seen, apply = updater(engine, PolicyParams(), 10_000), [], engine.apply
    monkeypatch.setattr(
        engine,
        "apply",
        lambda function, part, *rest: (seen.append(len(part)), apply(function, part, *rest))[1],
    )
    data = rows(tokens, reference=False)
    all_rows = one.accumulate_gradient(one.plan_batch(data)).sum("loss")
    gradients(engine)
    signal = [row for row in data if row.advantages.any()]
    alone = one.accumulate_gradient(one.plan_batch(signal)).sum("loss")
    assert seen == [len(signal)] * 2
    assert len(signal) < len(data)
    share = sum(len(row.ids) for row in signal) / sum(len(row.ids) for row in data)
    assert all_rows == pytest.approx(alone * share, rel=1e-5)


def test_a_batch_without_any_signal_gives_no_gradient(tokens):
    engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU)
    data = rows(tokens, reference=False)
    for row in data:
        row.advantages = torch.zeros_like(row.advantages)
    one = updater(engine, PolicyParams(), 100)
    assert one.accumulate_gradient(one.plan_batch(data)).sum("loss") == 0.0
    assert all(parameter.grad is None for parameter in engine.model.parameters())


def test_an_empty_mask_is_loss_zero(tokens):
    """spo.md 10.19."""
    engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU)
    one = updater(engine, PolicyParams(mask={"kind": "probability", "below": 1e-9}), 100)
    assert one.accumulate_gradient(one.plan_batch(rows(tokens))).sum("loss") == 0.0
    assert one.update(rows(tokens), 0, 1.0)["loss"] == 0.0


def test_blocks_have_thresholds_and_denominators_of_their_own(tokens):
    """`block` is the published code's micro-batch: the loss is the mean of the blocks' losses."""
    engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU)
    data = rows(tokens, reference=False)[:6]
    settings = {"mask": {"kind": "top_entropy", "share": 0.3}}
    blocked = updater(engine, PolicyParams(block=3, **settings), 1000)
    alone = updater(engine, PolicyParams(**settings), 1000)
    parts = [
        alone.accumulate_gradient(alone.plan_batch(data[:3])).sum("loss"),
        alone.accumulate_gradient(alone.plan_batch(data[3:])).sum("loss"),
    ]
    assert blocked.accumulate_gradient(blocked.plan_batch(data)).sum("loss") == pytest.approx(
        sum(parts) / 2, rel=1e-5
    )


def test_an_update_far_from_the_sampling_policy_is_not_made(tokens):
    engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU)
    data = rows(tokens, reference=False)
    for row in data:
        row.old_logprobs = row.old_logprobs - 12
    before = [parameter.detach().clone() for parameter in engine.model.parameters()]
    figures = updater(engine, PolicyParams(max_mean_ratio=5.0, updates_per_epoch=1), 100).update(data, 0, 1.0)
    assert figures["skipped_updates"] == 1
    assert figures["ratio"] > 5
    assert all(torch.equal(old, new) for old, new in zip(before, engine.model.parameters(), strict=True))


def test_a_log_prob_that_is_not_finite_names_the_sample_and_dumps_it(tokens, tmp_path):
    engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU)
    with torch.no_grad():
        engine.model.get_input_embeddings().weight[5] = float("nan")
    data = rows(tokens, reference=False)
    one = updater(engine, PolicyParams(), 1000)
    with pytest.raises(NotFinite) as caught:
        one.accumulate_gradient(one.plan_batch(data))
    error = caught.value.dump(tmp_path, 7)
    assert "iteration 7" in str(error)
    assert str(tmp_path / "not-finite-000007.json") in str(error)
    assert error.row.question in (tmp_path / "not-finite-000007.json").read_text()


def sampled(tokens, engine, noise):
    """Rows as the sampler of this very policy would leave them: its log-probs, apart by rounding."""
    data, generator = rows(tokens, reference=False), torch.Generator().manual_seed(3)
    exact = updater(engine, PolicyParams(), 10_000).scores(data)[0]
    for row, logprobs in zip(data, exact, strict=True):
        row.sampler_logprobs = row.old_logprobs = logprobs + noise * (
            2 * torch.rand(len(logprobs), generator=generator) - 1
        )
    return data


@pytest.mark.parametrize("old", ["sampler", "trainer"])
@pytest.mark.parametrize("estimator", ["abs", "k2", "k3"])
def test_kl_cov_adds_nothing_where_the_policy_is_the_one_that_sampled(tokens, old, estimator):
    """entropy.md 5.2 and 7.23: at ratio 1 the penalty's gradient is 0. |log ratio| of rounding alone would be
    full-size.
    """
    found = {}
    for share in (0.0, 0.5):
        engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU)
        data = sampled(tokens, engine, 1e-7)
        settings = PolicyParams(
            objective={"kind": "kl_cov", "share": share, "estimator": estimator},
            updates_per_epoch=2,
            old_logprobs=old,
        )
        one = updater(engine, settings, 100)
        plan = one.plan_batch(data, fresh=[True] * len(data))
        assert not any(bool(part.any()) for part in plan.selected)
        one.accumulate_gradient(plan)
        found[share] = gradients(engine)
    assert torch.equal(found[0.0], found[0.5])


def test_kl_cov_pulls_from_the_second_update_on_and_rows_of_older_policies_at_once(tokens):
    settings = PolicyParams(objective={"kind": "kl_cov", "share": 0.5}, updates_per_epoch=3, epochs=2)
    engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(learning_rate=1e-2), CPU)
    one, seen = updater(engine, settings, 100), []
    plan = one.plan_batch
    one.plan_batch = lambda *words: (seen.append(plan(*words)), seen[-1])[1]
    one.update(sampled(tokens, engine, 1e-7), 0, 1.0)
    assert [sum(int(part.sum()) for part in each.selected) > 0 for each in seen] == [False] + [True] * 5
    data = sampled(tokens, engine, 1e-7)
    for row in data[::2]:
        row.iteration = 4
    found = plan(data, fresh=[row.iteration == 4 for row in data])
    assert not any(bool(part.any()) for part in found.selected[::2])
    assert any(bool(part.any()) for part in found.selected[1::2])


FIGURES = [
    {},
    {"mask": {"kind": "top_entropy", "share": 0.3}},
    {"mask": {"kind": "probability", "below": 0.5}, "max_mean_ratio": 100.0},
    {"objective": {"kind": "clip", "low": 0.01, "high": 0.01}},
]


@pytest.mark.parametrize("settings", FIGURES)
def test_figures_are_over_all_rows_those_without_a_gradient_too(tokens, settings):
    """Against every row scored one by one."""
    engine, data = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU), rows(tokens, reference=False)
    for row in data[2:]:
        row.advantages = torch.zeros_like(row.advantages)
    one = updater(engine, PolicyParams(updates_per_epoch=1, **settings), 30)
    new = torch.cat(one.scores(data)[0])
    kept = torch.cat(one.plan_batch(data, fresh=[True] * len(data)).loss_mask)
    old, advantages = (
        torch.cat([getattr(row, name) for row in data]) for name in ("old_logprobs", "advantages")
    )
    clip = one._settings.objective
    clipped = clipped_surrogate(new, old, torch.where(kept, advantages, 0.0), clip.low, clip.high)[1]
    found = one.update(data, 0, 1.0)
    assert found["trained_tokens"] == len(new)
    assert found["kept_tokens"] == pytest.approx(float(kept.float().mean()))
    assert found["clip_fraction"] == pytest.approx(float(clipped[kept].float().mean()), rel=1e-5)
    assert found["ratio"] == pytest.approx(float((new - old).exp()[kept].mean()), rel=1e-5)
    assert found["update_kl"] == pytest.approx(float(kl_estimate(old, new, "k3").mean()), rel=1e-5)
    assert found["mismatch"] == pytest.approx(float((new - old).abs().mean()), rel=1e-5)
    assert found["mismatch_max"] == pytest.approx(float((new - old).abs().max()), rel=1e-5)


def test_of_many_rows_without_a_gradient_the_log_scores_a_few(tokens, monkeypatch):
    engine = TorchEngine(make_tiny_model(tokens), OptimiserParams(), CPU)
    data = [row for _ in range(40) for row in rows(tokens, reference=False)]
    for row in data[7:]:
        row.advantages = torch.zeros_like(row.advantages)
    one, scored = updater(engine, PolicyParams(updates_per_epoch=1), 10_000), []
    scores = one.scores
    monkeypatch.setattr(one, "scores", lambda part: (scored.append(len(part)), scores(part))[1])
    new, old = torch.cat(scores(data)[0]), torch.cat([row.old_logprobs for row in data])
    found = one.update(data, 0, 1.0)
    assert scored == [64]
    assert found["trained_tokens"] == len(new)
    assert found["ratio"] == pytest.approx(float((new - old).exp().mean()), rel=0.2)
