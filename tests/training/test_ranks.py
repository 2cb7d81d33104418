"""Ranks: dividing and gathering give back what went in; alone they cost nothing and change nothing."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.models.placement import Placement
from pipelines.training.ranks import Ranks
from pipelines.training.sharded_rollouts import block
from tasks.launch import launch
from tests.tiny import make_tiny_tokens

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, learning_python):
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("ranks")
    make_tiny_tokens(folder / "tokens")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    launch(2, [learning_python, "-m", "tests.training.rank_worker", str(folder)], grace=2, env=environment)
    return [torch.load(folder / f"ranks-{rank}.pt") for rank in (0, 1)]


COUNTS = st.lists(st.integers(0, 9), max_size=20)
SIZES = st.integers(1, 5)


@given(st.lists(st.integers()), SIZES)
def test_shares_are_disjoint_complete_and_even(items, size):
    shares = [Ranks(index, size).shard(items) for index in range(size)]
    assert sorted(item for share in shares for item in share) == sorted(items)
    turns = Ranks(0, size).micro_batches_per_rank(len(items))
    assert max(map(len, shares)) == turns
    assert min(map(len, shares)) >= turns - 1


@given(COUNTS, SIZES)
def test_blocks_of_prefixes_follow_each_other_and_are_even(counts, size):
    edges = [block(counts, Ranks(index, size)) for index in range(size)]
    assert edges[0][0] == 0
    assert edges[-1][1] == len(counts)
    assert all(one[1] == other[0] for one, other in itertools.pairwise(edges))
    work = [sum(counts[start:stop]) for start, stop in edges]
    assert max(work) <= sum(counts) / size + max(counts, default=0)


def test_alone_everything_is_its_own_result(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    ranks = Ranks.join(Placement(torch.device("cpu"), torch.float32))
    assert ranks == Ranks.single()
    assert ranks.is_first
    assert ranks.all_gather([1, 2]) == [1, 2]
    assert ranks.unshard(ranks.shard([3, 4, 5]), 3) == [3, 4, 5]
    assert ranks.sum(2.5) == 2.5
    value = torch.ones(2)
    assert ranks.sum(value) is value
    assert ranks.any(True)
    assert not ranks.any(False)
    assert ranks.broadcast_from_first("x") == "x"
    ranks.barrier()
    ranks.leave()


def test_one_process_does_not_import_deepspeed():
    """It takes seconds; in a fresh interpreter, since others of these tests do import it."""
    code = "import sys; import pipelines.training.engine, pipelines.training.deepspeed_engine; sys.exit('deepspeed' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_two_ranks_agree(ranks):
    for found in ranks:
        assert found["gathered"] == [0, "x", 1, "x"]
        assert found["sum"] == (2.0, [2.0, 1.0])
        assert found["any"] == (True, False)
        assert found["broadcast_from_first"] == 0
        assert found["unshared"] == [10, 20, 30, 40, 50]
        assert found["turns"] == [0, 1, 1, 3]
