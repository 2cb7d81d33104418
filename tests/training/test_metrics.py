"""The accumulator of an update's figures, by worked numbers, and that it may be cut anywhere."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.training.metrics import Metrics

PARTS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(-99, 99), st.integers(0, 9)), max_size=20)


def filled(parts):
    metrics = Metrics()
    for name, value, denominator in parts:
        metrics.add(name, value, denominator)
        metrics.add_maximum(f"{name}_max", abs(value))
    return metrics


def read(metrics):
    return metrics.sums(), metrics.means(), [metrics.maximum(f"{name}_max") for name in "abc"]


def test_means_by_hand():
    """Two micro-batches of 3 and 1 tokens: (6 + 4) / 4; a loss of each update: (1 + 2) / 2."""
    metrics = Metrics()
    metrics.add("ratio", 6.0, 3)
    metrics.add("ratio", 4.0, 1)
    metrics.add("loss", 1.0)
    metrics.add("loss", 2.0)
    assert metrics.sums() == {"ratio": 10.0, "loss": 3.0}
    assert metrics.means() == {"ratio": 2.5, "loss": 1.5}
    assert list(metrics.means()) == ["ratio", "loss"]


def test_no_tokens_give_0_and_an_unknown_name_is_0():
    metrics = Metrics()
    metrics.add("ratio", 0.0, 0)
    assert metrics.mean("ratio") == 0.0
    assert (metrics.sum("none"), metrics.mean("none"), metrics.maximum("none")) == (0.0, 0.0, 0.0)
    assert metrics.sums() == {"ratio": 0.0}, "asking for a name does not add it"


def test_maxima_are_kept_apart_and_not_scaled():
    """3 of 12 tokens were scored: the sum of 6 is estimated as 24; the largest difference stays as it was seen."""
    metrics, part = Metrics(), Metrics()
    part.add("mismatch", 6.0, 3)
    part.add_maximum("mismatch_max", 4.0)
    part.add_maximum("mismatch_max", 1.0)
    metrics.add_maximum("mismatch_max", 2.0)
    metrics.merge(part, 4.0)
    assert metrics.sums() == {"mismatch": 24.0}
    assert metrics.mean("mismatch") == 2.0
    assert metrics.maximum("mismatch_max") == 4.0


def test_the_denominator_of_add_sums_is_that_of_every_name():
    metrics = Metrics()
    metrics.add_sums({"a": 1.0, "b": 4.0}, 2)
    metrics.add_sums({"a": 2.0}, 2)
    assert metrics.means() == {"a": 0.75, "b": 2.0}


@given(parts=PARTS, cut=st.integers(0, 20))
def test_two_halves_merged_are_the_whole(parts, cut):
    """As micro-batches and ranks are; whole numbers, whose sums are exact in any order."""
    merged = Metrics()
    for half in (parts[:cut], parts[cut:]):
        merged.merge(pickle.loads(pickle.dumps(filled(half))))  # as it travels between ranks
    assert read(merged) == read(filled(parts))


@given(parts=PARTS)
def test_a_mean_is_the_sum_over_its_denominator(parts):
    metrics = filled(parts)
    for name in {name for name, _, _ in parts}:
        total = sum(value for own, value, _ in parts if own == name)
        count = sum(denominator for own, _, denominator in parts if own == name)
        assert metrics.mean(name) == pytest.approx(total / max(1, count))
