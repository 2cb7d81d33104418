"""Several processes for one stage: they know their places, fall together, hear SIGTERM, and none is left
behind.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.launch import WorkersFailed, launch

ROOT = Path(__file__).resolve().parents[2]
TOY = """
import os, pathlib, signal, sys, time
sys.path.insert(0, {root!r})
from tasks import launch
if launch.is_worker():
    launch.die_with_parent(signal.SIGKILL)
folder, doing, rank = pathlib.Path(sys.argv[1]), sys.argv[2], os.environ["RANK"]
signal.signal(signal.SIGTERM, lambda *_: (folder.joinpath("heard-" + rank).touch(), sys.exit(143)))
place = [rank, os.environ["LOCAL_RANK"], os.environ["WORLD_SIZE"], os.environ["MASTER_ADDR"], str(launch.is_first()), str(os.getpid())]
folder.joinpath("new-" + rank).write_text(" ".join(place))
folder.joinpath("new-" + rank).rename(folder / ("place-" + rank))
if doing == "fail" and rank == "1":
    sys.exit("the toy failed")
if doing != "end":
    time.sleep(100)
"""


@pytest.fixture
def toy(tmp_path):
    script = tmp_path / "toy.py"
    script.write_text(TOY.format(root=str(ROOT)))
    return [sys.executable, str(script), str(tmp_path)]


def places(folder):
    return [(folder / f"place-{rank}").read_text().split() for rank in (0, 1)]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_every_process_knows_its_place(toy, tmp_path):
    launch(2, [*toy, "end"], grace=2)
    assert [place[:5] for place in places(tmp_path)] == [
        [str(rank), str(rank), "2", "127.0.0.1", str(rank == 0)] for rank in (0, 1)
    ]


def test_a_rank_that_dies_takes_the_others_with_it(toy, tmp_path):
    with pytest.raises(WorkersFailed, match="one of 2 processes failed"):
        launch(2, [*toy, "fail"], grace=2)
    assert not any(alive(place[5]) for place in places(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_starter_leaves_nothing_behind(toy, tmp_path, number):
    starter = subprocess.Popen(
        [sys.executable, "-c", f"from tasks.launch import launch; launch(2, {[*toy, 'wait']!r}, 2)"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: all((tmp_path / f"place-{rank}").exists() for rank in (0, 1)))
    starter.send_signal(number)
    assert starter.wait(30) == (143 if number == signal.SIGTERM else -number)
    wait_for(lambda: not any(alive(place[5]) for place in places(tmp_path)), 20)
    if number == signal.SIGTERM:
        assert all((tmp_path / f"heard-{rank}").exists() for rank in (0, 1))
