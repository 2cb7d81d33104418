"""Partitions against spo.md 10.1 to 10.5, and what holds for all of them."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.rollouts.engines.draw import draw
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.rollouts.samplers.partition import partition_cutpoint, partition_fixed, partition_newline

EXAMPLE = (0.99, 0.72, 1, 0.85, 1, 0.56, 0.92, 0.23, 0.98, 0.11, 1)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (2, [(1, 5), (5, 9), (9, 11)]),
        (1, [(1, 3), (3, 5), (5, 7), (7, 9), (9, 11)]),
        (5, [(1, 11)]),
        (100, [(1, 11)]),
    ],
)
def test_worked_example(interval, expected):
    """spo.md 10.1."""
    assert partition_cutpoint(EXAMPLE, 0.9, interval) == expected
    assert partition_cutpoint(torch.tensor(EXAMPLE), 0.9, interval) == expected


def test_a_first_token_that_is_a_cutpoint():
    """spo.md 10.2: the first value is at the bare prompt."""
    assert partition_cutpoint((0.5, 0.99, 0.99, 0.4, 0.95, 0.3), 0.9, 2) == [(0, 5), (5, 6)]


def test_no_cutpoint_no_segment():
    """spo.md 10.3: .9 exactly is not a cutpoint, in either precision, and then there is no segment."""
    for first in ("first_cutpoint", "prompt"):
        assert partition_cutpoint((0.9, 0.95, 1.0), 0.9, 2, first) == []
        assert partition_cutpoint(torch.tensor([0.9, 0.95, 1.0]), 0.9, 2, first) == []
        assert partition_cutpoint((), 0.9, 2, first) == []


def test_first_boundary_at_the_prompt():
    """spo.md U1: only the tokens before the first cutpoint are handled otherwise."""
    assert partition_cutpoint(EXAMPLE, 0.9, 2, "prompt") == [(0, 5), (5, 9), (9, 11)]


def test_even_spread_minimises_the_paper_criterion():
    """spo.md 10.4: n = 6, K = 3: the minimum of the summed squares is 12, at (2, 2, 2)."""
    segments = partition_cutpoint([0.5] * 6, 0.9, 2)
    assert sum((end - start) ** 2 for start, end in segments) == 12
    splits = [(a, b, 6 - a - b) for a in range(7) for b in range(7 - a)]
    assert min(sum(part**2 for part in split) for split in splits) == 12


@pytest.mark.parametrize(("likely", "scaled", "segments"), [(0.80, 0.9097, []), (0.78, 0.8918, [(0, 1)])])
def test_probabilities_are_those_at_the_sampling_temperature(likely, scaled, segments):
    """spo.md 10.5."""
    _, logprobs, _ = draw(
        torch.tensor([[likely, 1 - likely]]).log(), torch.tensor([0.0]), SamplingParams(temperature=0.6)
    )
    assert float(logprobs.exp()) == pytest.approx(scaled, abs=1e-4)
    assert partition_cutpoint(logprobs.exp(), 0.9, 5) == segments


@given(st.lists(st.floats(0, 1), max_size=60), st.floats(0.01, 1), st.integers(1, 12))
def test_cutpoint_segments_are_ordered_disjoint_and_hold_the_interval(probabilities, rho, interval):
    """spo.md 10.4."""
    cutpoints = [index for index, value in enumerate(probabilities) if value < rho]
    segments = partition_cutpoint(probabilities, rho, interval)
    assert len(segments) == -(-len(cutpoints) // interval)
    if segments:
        covers(segments, cutpoints[0], len(probabilities))
        inside = [sum(start <= cut < end for cut in cutpoints) for start, end in segments]
        assert inside[:-1] == [interval] * (len(segments) - 1)
        assert 1 <= inside[-1] <= interval
        assert [start for start, _ in segments] == cutpoints[::interval]
        covers(partition_cutpoint(probabilities, rho, interval, "prompt"), 0, len(probabilities))


def covers(segments, first, length):
    assert segments[0][0] == first
    assert segments[-1][1] == length
    assert all(start < end for start, end in segments)
    assert all(before[1] == after[0] for before, after in pairwise(segments))


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["a", "\n", "b", "\n", "c"], [(0, 2), (2, 4), (4, 5)]),
        # the answer belongs to the last step
        (["a", "\n", "b", "\n", "#", "###", " 5", ""], [(0, 2), (2, 5 + 3)]),
        (["\n", "\n", "a", "\n", "b"], [(0, 4), (4, 5)]),  # leading blank lines belong to the first step
        (["a", "\n", " ", "\n", "b"], [(0, 4), (4, 5)]),  # and others to the one before them
        (["a", "\n\n", "b", ".\n", "c", "\n", ""], [(0, 2), (2, 4), (4, 7)]),
        (["a", "\nb", "c"], [(0, 1), (1, 3)]),  # a line that begins inside a token begins with that token
        (["a\nb", "\nc\nd", ""], [(0, 1), (1, 3)]),
        (["#### 5"], [(0, 1)]),
        (["\n", ""], [(0, 2)]),
        ([""], [(0, 1)]),
        ([], []),
        (["#### 5", "\n", "so"], [(0, 2), (2, 3)]),  # not the last line: a line like others
    ],
)
def test_newline_steps(pieces, expected):
    """spo.md 1.4."""
    assert partition_newline(pieces) == expected


def test_the_answer_line_can_stay_a_step():
    assert partition_newline(["a", "\n", "#### 5"], "") == [(0, 2), (2, 3)]
    assert partition_newline(["a", "\n", "answer 5"], "answer") == [(0, 3)]


@given(st.lists(st.sampled_from(["", "a", "\n", "\n\n", ".\n", "\nb", " ", "####", "7"]), max_size=30))
def test_newline_segments_cover_everything(pieces):
    segments = partition_newline(pieces)
    if pieces:
        covers(segments, 0, len(pieces))
    for start, _ in segments[1:]:
        assert "\n" in "".join(pieces[: start + 1])
        assert "".join(pieces[:start]).strip()
        assert "".join(pieces[start:]).strip()


@given(st.integers(0, 50), st.integers(1, 12))
def test_fixed_parts_are_near_equal_and_never_empty(length, parts):
    """spo.md 1.3: the first T mod K parts are one token longer."""
    segments = partition_fixed(length, parts)
    sizes = [end - start for start, end in segments]
    assert len(segments) == min(parts, length)
    assert sizes == sorted(sizes, reverse=True)
    if length:
        covers(segments, 0, length)
        assert max(sizes) - min(sizes) <= 1
        assert sizes.count(max(sizes)) == (length % parts if length % parts else len(sizes))


def test_fixed_example():
    assert partition_fixed(11, 4) == [(0, 3), (3, 6), (6, 9), (9, 11)]
