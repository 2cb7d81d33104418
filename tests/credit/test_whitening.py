"""Whitening against methods/spo.md section 10 item 21."""

import pytest
import torch

from pipelines.credit.whitening import whiten


def test_worked_number():
    advantages = torch.tensor([0.5] * 3 + [0.1] * 3)
    assert whiten(advantages, torch.ones(6, dtype=torch.bool)).tolist() == pytest.approx([0.91287] * 3 + [-0.91287] * 3, abs=1e-4)


def test_constants_and_a_single_token_become_zero():
    assert whiten(torch.full((4,), 0.3), torch.ones(4, dtype=torch.bool)).abs().max() < 1e-3
    assert whiten(torch.tensor([0.3, 0.7]), torch.tensor([True, False])).tolist() == [0.0, 0.0]


def test_statistics_are_over_kept_tokens_and_over_all_where_none_is_kept():
    advantages = torch.tensor([0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 9.0])
    kept = torch.tensor([True] * 6 + [False])
    assert whiten(advantages, kept)[:6].tolist() == pytest.approx([0.91287] * 3 + [-0.91287] * 3, abs=1e-4)
    none = whiten(advantages, torch.zeros(7, dtype=torch.bool))
    assert none.mean().item() == pytest.approx(0, abs=1e-6)
    assert none.std().item() == pytest.approx(1, abs=1e-4)
