"""The replay buffer: spo.md 10.24, the published code's rule, and a state that loads bit for bit."""

from collections import Counter
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.training.options import ReplayParams
from pipelines.training.replay import ReplayBuffer, even_shares
from pipelines.training.replay_columns import pack, unpack


@dataclass(slots=True)
class Item:
    """A row of every kind of field."""

    name: str
    ids: list[int]
    context: tuple[tuple[int, ...], ...]
    advantages: torch.Tensor
    reference: torch.Tensor | None = None


def items(question, count):
    scores = torch.arange(7.0)
    return [
        (
            question,
            Item(
                f"{question}{index}",
                [index, 5],
                ((1, 2), (index,)),
                scores[: index % 7],
                scores[1:3] if index % 2 else None,
            ),
        )
        for index in range(count)
    ]


def buffer(seed=0, **settings):
    return ReplayBuffer(ReplayParams(**settings), seed, Item)


def names(draw):
    return [entry.row.name for entry in draw.entries]


def test_age():
    """spo.md 10.24: stamped 5: usable at iterations 5 to 12, gone at 13."""
    for iteration in range(5, 13):
        waiting = buffer()
        waiting.add(5, items("a", 1))
        assert len(waiting.draw(iteration).entries) == 1
    waiting = buffer()
    waiting.add(5, items("a", 1))
    draw = waiting.draw(13)
    assert (draw.entries, draw.expired, len(waiting)) == ([], 1, 0)


@pytest.mark.parametrize("official", [False, True])
def test_a_question_is_spread_over_iterations(official):
    """spo.md 10.24: 40 of one question: 32 now, 8 next, none twice."""
    waiting = buffer(official=official, rows=32)
    waiting.add(0, items("a", 40))
    first, second = waiting.draw(0), waiting.draw(1)
    assert len(set(names(first))) == 32
    assert len(set(names(second))) == 8
    assert not set(names(first)) & set(names(second))
    assert waiting.draw(2).entries == []
    assert second.repeated == (24 if official else 0)


def test_the_surplus_stays_and_the_questions_are_balanced():
    """spo.md U5: exactly `rows` are drawn, evenly; what is left waits."""
    waiting = buffer(rows=20)
    waiting.add(0, items("a", 30) + items("b", 30) + items("c", 3))
    draw = waiting.draw(0)
    counts = Counter(entry.question for entry in draw.entries)
    assert counts["c"] == 3
    assert sorted(counts.values()) == [3, 8, 9]
    assert (len(waiting), waiting.questions, draw.lost, draw.repeated) == (43, 2, 0, 0)


def test_the_published_rule_loses_the_surplus_and_repeats_too_few():
    """spo.md 2.4."""
    waiting = buffer(rows=20, official=True)
    waiting.add(0, items("a", 40) + items("b", 30))
    draw = waiting.draw(0)
    assert (len(draw.entries), draw.lost, draw.repeated, len(waiting)) == (20, 42, 0, 8)
    later = waiting.draw(1)
    assert (len(later.entries), later.repeated) == (20, 12)
    assert set(Counter(names(later)).values()) == {2, 3}


def test_empty_buffers_draw_nothing():
    for official in (False, True):
        waiting = buffer(official=official)
        assert waiting.draw(0) == ([], 0, 0, 0)
        assert waiting.state_dict()["ids"] == []


def test_equal_rows_are_different_segments():
    """spo.md 2.4: the published code drops both of two equal segments."""
    waiting = buffer(rows=1)
    waiting.add(0, items("a", 1) * 3)
    taken = [waiting.draw(iteration).entries[0].id for iteration in range(3)]
    assert sorted(taken) == [0, 1, 2]


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 9)), max_size=3), min_size=1, max_size=14
    ),
    st.integers(1, 20),
    st.integers(1, 6),
    st.integers(1, 4),
    st.booleans(),
)
def test_no_segment_is_served_twice_and_no_question_too_often(history, rows, per_prompt, max_age, official):
    waiting, served = buffer(rows=rows, per_prompt=per_prompt, max_age=max_age, official=official), set()
    lost = 0
    for iteration, added in enumerate(history):
        for question, count in added:
            waiting.add(iteration, items(question, count))
        here = Counter(entry.question for entry in waiting._entries if iteration - entry.stamp < max_age)
        draw = waiting.draw(iteration)
        distinct = {entry.id: entry for entry in draw.entries}
        assert len(draw.entries) - draw.repeated == len(distinct)
        assert not served & set(distinct)
        served |= set(distinct)
        lost += draw.lost + draw.expired
        assert all(0 <= iteration - entry.stamp < max_age for entry in draw.entries)
        counts = Counter(entry.question for entry in distinct.values())
        assert all(count <= per_prompt for count in counts.values())
        usable = sum(min(count, per_prompt) for count in here.values())
        assert len(distinct) == min(rows, usable)
        if official:
            assert len(draw.entries) == (rows if usable else 0)
        elif counts:  # who got fewer than another had no more to give
            assert all(
                counts[one] >= max(counts.values()) - 1 or counts[one] == min(here[one], per_prompt)
                for one in here
            )
    assert len(served) + lost + len(waiting) == sum(count for added in history for _, count in added)


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(0, 60))
def test_even_shares(limits, total):
    shares = even_shares(limits, total)
    assert sum(shares) == min(total, sum(limits))
    assert all(share <= limit for share, limit in zip(shares, limits, strict=True))
    assert all(
        share == limit or share >= max(shares) - 1 for share, limit in zip(shares, limits, strict=True)
    )


def test_a_loaded_buffer_goes_on_as_the_saved_one(tmp_path):
    """Bit-equal after torch.save and a weights-only load, in what it holds and in what it draws."""
    waiting = buffer(rows=7, per_prompt=3, max_age=3)
    for iteration in range(3):
        waiting.add(iteration, items("a", 9) + items("b", 5))
        waiting.draw(iteration)
    torch.save(waiting.state_dict(), tmp_path / "replay.pt")
    loaded = buffer(rows=7, per_prompt=3, max_age=3)
    loaded.load_state_dict(torch.load(tmp_path / "replay.pt", weights_only=True))
    for iteration in range(3, 8):
        for other in (waiting, loaded):
            other.add(iteration, items("c", 2))
        ours, theirs = waiting.draw(iteration), loaded.draw(iteration)
        assert (ours.expired, len(waiting)) == (theirs.expired, len(loaded))
        for one, two in zip(ours.entries, theirs.entries, strict=True):
            assert (one.id, one.question, one.stamp) == (two.id, two.question, two.stamp)
            assert (one.row.name, one.row.ids, one.row.context) == (
                two.row.name,
                two.row.ids,
                two.row.context,
            )
            assert torch.equal(one.row.advantages, two.row.advantages)
            assert (one.row.reference is None) == (two.row.reference is None)
            assert one.row.reference is None or torch.equal(one.row.reference, two.row.reference)


def test_draws_depend_on_seed_and_iteration_only():
    def drawn(seed, iteration):
        waiting = buffer(seed, rows=5)
        waiting.add(0, items("a", 20) + items("b", 20))
        return names(waiting.draw(iteration))

    assert drawn(0, 1) == drawn(0, 1)
    assert drawn(0, 1) != drawn(1, 1)
    assert drawn(0, 1) != drawn(0, 2)


def test_a_view_is_stored_without_its_storage():
    packed = pack([torch.zeros(1000, 1000)[3][:2], torch.ones(1)], "x")
    assert packed["values"].untyped_storage().nbytes() == 12


@pytest.mark.parametrize(
    "column",
    [
        [],
        [None, None],
        [1, None, 3],
        [0.1, float("-inf")],
        ["a", ""],
        [True, False],
        [[True], []],
        [[], [1, 2], None, [3]],
        [(), (1,)],
        [((1, 2), ()), (), ((3,),)],
        [[(1,)], []],
    ],
)
def test_columns_come_back_as_they_were(column):
    back = unpack(pack(column, "x"))
    assert back == column
    assert [type(value) for value in back] == [type(value) for value in column]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.bool, torch.int64])
def test_tensor_columns_keep_bits_and_type(dtype):
    column = [torch.tensor([1.1, 0.0, 3.0]).to(dtype), None, torch.tensor([], dtype=dtype)]
    back = unpack(pack(column, "x"))
    assert back[1] is None
    assert all(
        torch.equal(one, two) and one.dtype == two.dtype
        for one, two in zip(column[::2], back[::2], strict=True)
    )


def test_a_value_of_another_kind_is_refused_by_name():
    with pytest.raises(TypeError, match=r"field shape of a training row holds.*set"):
        pack([{1}], "shape")
    with pytest.raises(TypeError, match="field shape"):
        pack([torch.zeros(2, 2)], "shape")
    with pytest.raises(TypeError, match="field shape"):
        pack([[True], 1], "shape")
