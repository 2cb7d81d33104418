"""The headline of a failure is its cause, whatever stands on the last line."""

from __future__ import annotations

import pytest

from flows.running.headline import cause

TRACEBACK = 'Traceback (most recent call last):\n  File "a.py", line 1, in run\n    work()\n'
TOLD = {
    "": "",
    "  \n\n": "",
    "one\ntwo\n": "two",
    f"start\n{TRACEBACK}ValueError: no such row\n": "ValueError: no such row",
    f"{TRACEBACK}pipelines.models.load.BrokenModel: it ends in NaN\n": "BrokenModel: it ends in NaN",
    f"{TRACEBACK}KeyboardInterrupt\n": "KeyboardInterrupt",
    # the message goes on below: its first lines and the last one
    f"{TRACEBACK}ValueError: 400 rows are bad:\n  a:1\n  a:2\n  a:3\n  and 395 more\n": (
        "ValueError: 400 rows are bad:\n  a:1\n  a:2\n  and 395 more"
    ),
    "corpus: 400 rows are bad:\n  a:1\n  and 395 more\n": "corpus: 400 rows are bad:\n  a:1\n  and 395 more",
    # what comes after it is not it
    f"{TRACEBACK}OSError: disk\n\nbye\n": "OSError: disk",
    f"{TRACEBACK}OSError: disk\n/usr/lib/resource_tracker.py:254: UserWarning: leaked\n  warnings.warn(\n": "OSError: disk",
    f"{TRACEBACK}OSError: disk\nException ignored in: <function f>\n{TRACEBACK[:0]}": "OSError: disk",
    f"{TRACEBACK}ValidationError: 1 error for X\nsteps\n  too small\n    For further information visit https://x\n": (
        "ValidationError: 1 error for X\nsteps\n  too small"
    ),
    # of several the last speaks to the user, unless it only carries another's
    f"{TRACEBACK}KeyError: 'a'\n\nThe above exception was the direct cause of the following exception:\n\n{TRACEBACK}ValueError: row 3 has no a\n": (
        "ValueError: row 3 has no a"
    ),
    f"{TRACEBACK}RuntimeError: out of memory\n{TRACEBACK}torch.distributed.elastic.ChildFailedError: \n====\n{TRACEBACK}WorkersFailed: one of 2\n": (
        "RuntimeError: out of memory"
    ),
    "".join(f"[rank1]: {line}\n" for line in f"{TRACEBACK}OSError: disk".splitlines()): "OSError: disk",
    f"{TRACEBACK}WorkersFailed: one of 2\n": "WorkersFailed: one of 2",
    "Traceback (most recent call last):\n  File \"a.py\"": "Traceback (most recent call last):\n  File \"a.py\"",
    "/bin/sh: 1: foo: not found\n": "/bin/sh: 1: foo: not found",
    "    only indented\n": "only indented",
}  # fmt: skip


@pytest.mark.parametrize("printed", TOLD)
def test_cause(printed: str) -> None:
    assert cause(printed.splitlines()) == TOLD[printed]
