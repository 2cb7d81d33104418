"""Hostile pairs: each costs itself alone, neither stops nor changes the verdicts of the others."""

import os
import signal
import time

import pytest

from pipelines.rewards.answers.rule_params import WorkerParams
from pipelines.rewards.answers.workers import Workers
from pipelines.rewards.rules.math_answer import check_many

ENDLESS = ["9^{9^{9^9}}", "8^{7^{9^9}}", r"\binom{10^9}{5\cdot10^8}"]


@pytest.fixture(scope="module")
def pool():
    found = Workers(WorkerParams(seconds=0.3, processes=2))
    yield found
    found.close()


def honest(number):
    return [
        (
            rf"\boxed{{\frac{{{k}x+1}}{{2}}}}",
            rf"\frac{{1+{k}x}}{{2}}" if k % 3 else rf"\frac{{2+{k}x}}{{2}}",
            True,
        )
        for k in range(number)
    ]


def test_hostile_pairs_are_errors_and_the_rest_is_as_without_them(pool):
    rows = honest(60)
    alone = check_many(rows, pool)
    assert {verdict.outcome for verdict in alone} == {"right", "wrong"}
    mixed = [
        row
        for place, row in enumerate(rows)
        for row in [*([(rf"\boxed{{{ENDLESS[place // 20]}}}", "5", True)] * (place % 20 == 5)), row]
    ]
    verdicts = check_many(mixed, pool)
    hostile = [verdict for verdict, row in zip(verdicts, mixed, strict=True) if row[1] == "5"]
    assert len(hostile) == len(ENDLESS)
    assert {verdict.outcome for verdict in hostile} == {"error"}
    assert all("0.3 s of processor time" in verdict.reason for verdict in hostile)
    assert [verdict for verdict, row in zip(verdicts, mixed, strict=True) if row[1] != "5"] == alone


def test_memory_is_bounded():
    pool = Workers(WorkerParams(seconds=20, memory_mb=400, processes=1))
    (verdict,) = check_many([(r"\boxed{\{" + ",".join(["x"] * 30) + r"\}^{9^{8^{7}}}}", "y", True)], pool)
    pool.close()
    assert verdict.outcome in ("error", "wrong")


def test_a_worker_that_dies_is_replaced(pool):
    check_many(honest(3), pool)
    for worker in pool._all:
        os.kill(worker.pid, signal.SIGKILL)
    # one pair is not blamed for an idle worker's end
    assert [verdict.outcome for verdict in check_many(honest(1), pool)] == ["wrong"]
    assert {verdict.outcome for verdict in check_many(honest(6), pool)} == {"right", "wrong"}


def test_workers_end_with_their_pool():
    pool = Workers(WorkerParams(processes=1))
    check_many(honest(4), pool)
    workers = list(pool._all)
    assert workers
    pool.close()
    assert all(worker.poll() is not None for worker in workers)


def test_equal_pairs_are_compared_once(pool):
    began = time.perf_counter()
    verdicts = check_many([(r"\boxed{9^{9^{9^9}}}", "5", True)] * 200, pool)
    assert {verdict.outcome for verdict in verdicts} == {"error"}
    assert time.perf_counter() - began < 20


def test_nothing_that_an_answer_says_is_run(pool, tmp_path):
    mark = tmp_path / "mark"
    check_many(
        [
            (f'#### __import__("os").system("touch {mark}")', r"\sqrt{2}", True),
            (f"#### open('{mark}','w')", "x+1", True),
        ],
        pool,
    )
    assert not mark.exists()
