"""Masks: entropy.md 7.5 to 7.11, and spo.md 10.17, 10.18 and 10.20."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.objectives import clip, clip_cov, kl_cov, reinforce
from pipelines.objectives.aggregation import sequence_weights
from pipelines.objectives.divergence import kl_estimate
from pipelines.objectives.masks import bottom_entropy, everything, probability, top_entropy
from pipelines.objectives.masks.options import (
    BottomEntropyParams,
    MaskParams,
    ProbabilityParams,
    TopEntropyParams,
)
from pipelines.objectives.options import ClipCovParams, ClipParams, KlCovParams
from pipelines.settings import Choice

MASKS = [
    (everything, MaskParams()),
    (probability, ProbabilityParams()),
    (top_entropy, TopEntropyParams()),
    (bottom_entropy, BottomEntropyParams()),
]
OBJECTIVES = [
    (reinforce, Choice(kind="reinforce")),
    (clip, ClipParams()),
    (clip, ClipParams(dual=3.0)),
    (clip_cov, ClipCovParams(share=0.2, least=0.0)),
    (kl_cov, KlCovParams(share=0.2)),
]
TENTHS = torch.arange(1, 11, dtype=torch.float64) / 10
PAIRS = [(seam, settings) for seam in OBJECTIVES for settings in MASKS]


def top(entropy, share):
    entropy = torch.as_tensor(entropy, dtype=torch.float64)
    return top_entropy.keep(torch.zeros_like(entropy), entropy, TopEntropyParams(share=share))


def above_quantile(entropy, share):
    """The rule of TRL, for comparison: the interpolated quantile, and every token that reaches it."""
    return entropy >= torch.quantile(entropy, 1 - share)


@pytest.mark.parametrize(("share", "wanted"), [(0.2, [0.9, 1.0]), (1.0, TENTHS.tolist()), (1e-9, [1.0])])
def test_5_exact_count(share, wanted):
    """Padding never reaches a mask: a block holds response tokens only."""
    assert TENTHS[top(TENTHS, share)].tolist() == wanted
    assert top([], share).tolist() == []


def test_6_ceil_and_quantile():
    seven = torch.arange(7, dtype=torch.float64)
    assert (int(top(seven, 0.3).sum()), int(above_quantile(seven, 0.3).sum())) == (3, 2)
    for share in (0.1, 0.2, 0.5):
        for count in (5, 6, 7, 9, 10, 11, 12, 15, 16, 21):
            values = torch.randperm(count, generator=torch.Generator().manual_seed(count)).double()
            assert torch.equal(top(values, share), above_quantile(values, share))


def test_6_the_count_is_that_of_the_decimal():
    """.07 * 100 is 7.000000000000001 in floats."""
    assert int(top(torch.arange(100), 0.07).sum()) == 7


def test_7_ties():
    for count in (10, 5000):  # an unstable sort may look stable on few
        equal = torch.full((count,), 0.5, dtype=torch.float64)
        assert top(equal, 0.2).tolist() == [True] * (count // 5) + [False] * (count - count // 5)
        assert bool(above_quantile(equal, 0.2).all())


def test_8_scope_is_the_block():
    assert TENTHS[torch.cat([top(block, 0.2) for block in TENTHS.split(5)])].tolist() == [0.5, 1.0]
    assert TENTHS[top(TENTHS, 0.2)].tolist() == [0.9, 1.0]


def test_9_masks_are_bool():
    entropy = torch.tensor([0.1, 0.9, 0.5, 0.7])
    for mask, settings in MASKS:
        assert mask.keep(-entropy, entropy, settings).dtype == torch.bool
    assert entropy[torch.tensor([False, True, True, False])].tolist() == pytest.approx([0.9, 0.5])
    # what must never happen
    assert entropy[torch.tensor([0, 1, 1, 0])].tolist() == pytest.approx([0.1, 0.9, 0.9, 0.1])


def test_10_denominators():
    losses = torch.arange(1.0, 11.0)
    kept = top(TENTHS, 0.2)
    total = torch.where(kept, losses, 0.0).sum().item()
    assert total * sequence_weights([int(kept.sum())], "token_mean")[0] == pytest.approx(9.5)
    assert total * sequence_weights([len(kept)], "token_mean")[0] == pytest.approx(1.9)
    assert torch.equal(top(TENTHS, 1.0), everything.keep(-TENTHS, TENTHS, MaskParams()))


@example([0.1] * 10, 0.3)  # 1 - .7 is .30000000000000004
@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.5, 2.0]), max_size=30),
    st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 1.0]),
)
def test_10_top_and_bottom_are_a_partition(entropies, share):
    """Ties included; also when each share is written as a decimal of its own, .8 beside .2."""
    entropy = torch.tensor(entropies, dtype=torch.float64)
    rest = round(1 - share, 9)
    if rest:
        bottom = bottom_entropy.keep(entropy, entropy, BottomEntropyParams(share=rest))
        assert torch.equal(bottom, ~top(entropy, share))


def test_bottom_with_share_one_keeps_all():
    assert bool(bottom_entropy.keep(TENTHS, TENTHS, BottomEntropyParams(share=1.0)).all())


def test_11_no_gradient_through_the_mask():
    logits = torch.randn(
        8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3), requires_grad=True
    )

    def loss(constant):
        every = torch.log_softmax(logits, -1)
        entropy = -(every.exp() * every).sum(-1)
        kept = (
            top_entropy.keep(every[:, 0], entropy, TopEntropyParams(share=0.3))
            if constant is None
            else constant
        )
        losses, _ = clip.policy_loss(
            every[:, 0], every[:, 0].detach() - 0.1, torch.linspace(-1, 1, 8), None, ClipParams()
        )
        return torch.where(kept, losses, 0.0).sum() / kept.sum(), kept

    value, kept = loss(None)
    assert not kept.requires_grad
    assert torch.equal(*(torch.autograd.grad(part, logits)[0] for part in (value, loss(kept.clone())[0])))


def test_spo_17_probability_mask():
    old, new = torch.tensor([0.95, 0.5, 0.8, 0.99]).log(), torch.tensor([0.5, 0.65, 0.6, 0.2]).log()
    kept = probability.keep(old, old, ProbabilityParams(below=0.9))
    assert kept.tolist() == [False, True, True, False]
    losses, _ = clip.policy_loss(new, old, torch.tensor([0.5, 0.5, -0.5, -0.5]), None, ClipParams())
    assert losses[kept].tolist() == pytest.approx([-0.6, 0.4], abs=1e-6)
    weight = sequence_weights([int(kept.sum())], "token_mean")[0]
    assert (torch.where(kept, losses, 0.0) * weight).sum().item() == pytest.approx(-0.1, abs=1e-6)
    assert losses.mean().item() == pytest.approx(-0.01579, abs=1e-5)


def test_spo_3_the_threshold_itself_is_not_kept():
    assert probability.below(torch.tensor([0.0, -1e-3]), 1.0).tolist() == [False, True]


def test_spo_20_divergence_of_kept_tokens():
    policy, reference = torch.tensor([0.5, 0.9, 0.25]).log(), torch.tensor([0.25, 0.1, 0.5]).log()
    kept = torch.tensor([True, False, True])
    total = torch.where(kept, kl_estimate(policy, reference, "k3"), 0.0).sum().item()
    assert total == pytest.approx(0.5, abs=1e-6)
    assert 1e-4 * total * sequence_weights([2], "seq_mean_token_sum")[0] == pytest.approx(5e-5, abs=1e-9)


@pytest.mark.parametrize(("seam", "mask"), PAIRS, ids=lambda part: part[1].kind)
def test_spo_18_masked_tokens_have_no_gradient(seam, mask):
    """Any mask times any objective: exactly zero gradient where it is off, and changing those logits leaves
    the loss bit for bit.
    """
    objective, settings = seam
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(20, 4, dtype=torch.float64, generator=generator)
    old = torch.log_softmax(logits + 0.2 * torch.randn(20, 4, dtype=torch.float64, generator=generator), -1)
    advantages = torch.randn(20, dtype=torch.float64, generator=generator)
    entropy = -(old.exp() * old).sum(-1)
    kept = mask[0].keep(old[:, 0], entropy, mask[1])
    selected = None
    if hasattr(objective, "select"):
        selected = objective.select(
            torch.log_softmax(logits, -1)[:, 0], old[:, 0], advantages, kept, settings, torch.Generator()
        )

    def loss(rows):
        new = torch.log_softmax(rows, -1)[:, 0]
        losses, _ = objective.policy_loss(new, old[:, 0], advantages, selected, settings)
        losses = losses + 0.1 * kl_estimate(new, old[:, 1], "k3")
        return (torch.where(kept, losses, 0.0) * sequence_weights([int(kept.sum())], "token_mean")[0]).sum()

    rows = logits.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(rows), rows)
    assert not bool(slope[~kept].any())
    assert bool(slope[kept].any())
    other = torch.where(kept[:, None], logits, logits.flip(1) * 3)
    assert torch.equal(loss(other), loss(logits))


@pytest.mark.parametrize(("seam", "mask"), PAIRS, ids=lambda part: part[1].kind)
@pytest.mark.parametrize("count", [0, 1, 5])
def test_empty_single_and_unanimous_blocks_stay_finite(seam, mask, count):
    """No advantage at all, one token, none: finite losses and gradients, even with log-probs far apart."""
    objective, settings = seam
    for new, advantage in ((-0.0, 0.0), (-300.0, 0.0), (-300.0, 1.0), (-1e-6, -1.0)):
        logprobs = torch.full((count,), new, requires_grad=True)
        old, advantages = torch.full((count,), -40.0), torch.full((count,), advantage)
        kept = mask[0].keep(old, torch.zeros(count), mask[1])
        selected = None
        if hasattr(objective, "select"):
            selected = objective.select(logprobs.detach(), old, advantages, kept, settings, torch.Generator())
            assert not bool((selected & ~kept).any())
        losses, figures = objective.policy_loss(logprobs, old, advantages, selected, settings)
        losses.sum().backward()
        assert all(bool(torch.isfinite(part).all()) for part in (losses, logprobs.grad, *figures.values()))
        assert all(len(part) == count and not part.requires_grad for part in figures.values())
