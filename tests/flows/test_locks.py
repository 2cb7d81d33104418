"""Locks of a workspace: one run, who holds it, GPU slots; all of them die with their holder."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.workspace import STATE, Busy, gpu_slot, only_one_run

HOLD = """
import sys, threading
from pathlib import Path
from flows.workspace import gpu_slot, only_one_run

with only_one_run(Path(sys.argv[1])), gpu_slot(Path(sys.argv[1]), 2, 1, threading.Event()) as devices:
    print(devices, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the run's lock and GPU slot 0."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        yield process
        process.kill()


def test_a_second_run_is_told_who_holds_the_workspace(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    for _ in range(2):  # being refused does not take the holder's name away
        with pytest.raises(Busy, match=rf"pid {holder.pid}\b"), only_one_run(tmp_path):
            pass


def test_a_killed_holder_frees_all_at_once(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    with only_one_run(tmp_path), gpu_slot(tmp_path, 2, 2, threading.Event()) as devices:
        assert devices == "0,1"
        assert (tmp_path / STATE / "run.lock").read_text() == str(os.getpid())


def test_slots_that_others_hold_are_left_alone(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with gpu_slot(tmp_path, 2, 1, threading.Event()) as devices:
        assert devices == "1"


def test_waiting_holds_no_part_of_the_slots_and_can_be_cancelled(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    cancelled = threading.Event()

    def wait() -> None:
        with pytest.raises(InterruptedError), gpu_slot(tmp_path, 2, 2, cancelled):
            pass

    waiting = threading.Thread(target=wait)
    waiting.start()
    with gpu_slot(tmp_path, 2, 1, threading.Event()) as devices:  # which the waiting one lets go each time
        assert devices == "1"
    cancelled.set()
    waiting.join(20)
    assert not waiting.is_alive()


@pytest.mark.parametrize(("slots", "wanted", "devices"), [(0, 1, ""), (2, 0, "")])
def test_nothing_to_wait_for(tmp_path: Path, slots: int, wanted: int, devices: str) -> None:
    with gpu_slot(tmp_path, slots, wanted, threading.Event()) as given:
        assert given == devices
    with (
        pytest.raises(ValueError, match="the stage wants 2 GPUs"),
        gpu_slot(tmp_path, 1, 2, threading.Event()),
    ):
        pass
