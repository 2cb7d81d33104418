"""Where accidents are staged: a copy of the toy graph whose processes can be told from all others, killed by
id, and counted afterwards.

Every process of a scene carries the scene's mark in its environment. When a test ends, none of them may be
left.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.running.executor import StageFailed, StageWatch
from flows.running.live import Silent
from flows.running.session import Outcome, Session
from tests.flows import toy

MARK = "WHETSTONE_TEST_MARK"
SHOWN = ("data", "models", "metrics", "curves", "samples", "reports")

# Counts to twelve, keeping its place in the work directory, and holds at the sixth step until the file
# .scene/go is there.
STEPS = '''"""A stage that can be caught in the middle."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tasks.toy_common import emit

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(300)"


def run(stage):
    place = stage.work / "place"
    first = int(place.read_text()) if place.exists() else 0
    with open(".scene/started", "a") as stream:
        stream.write(f"{first}\\n")
    subprocess.Popen([sys.executable, "-S", "-c", STUBBORN], start_new_session=True)
    for step in range(first, 12):
        while step == 5 and not Path(".scene/go").exists():
            time.sleep(0.05)
        stage.progress(step + 1, 12, loss=1.0)
        stage.log(step, loss=1.0 / (step + 1))
        fresh = place.with_suffix(".tmp")
        fresh.write_text(str(step + 1))
        os.replace(fresh, place)
    emit(stage, {"steps": 12})
'''


class Heard(Silent):
    """A display that remembers what people were told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


class Scene(toy.Project):
    """A project to break. `session` works in this process; `launch` starts a true `whetstone` process."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.mark = uuid.uuid4().hex
        self.env[MARK] = self.mark
        self.heard = Heard()
        (folder / ".scene").mkdir(exist_ok=True)
        self._launched: list[subprocess.Popen[bytes]] = []

    def stage(self, name: str, source: str) -> None:
        """Give a stage other code; it and what lies below it become stale."""
        (self.folder / "tasks" / f"{name}.py").write_text(source)

    def launch(self, *words: str) -> subprocess.Popen[bytes]:
        """`whetstone …` in a process group of its own, its output in .scene/output."""
        with open(self.folder / ".scene" / "output", "wb") as stream:
            command = [self.python, "-m", "flows", *words]
            started = subprocess.Popen(
                command, cwd=self.folder, env=self.env, stdout=stream, stderr=stream, start_new_session=True
            )
        self._launched.append(started)
        return started

    def output(self) -> str:
        return (self.folder / ".scene" / "output").read_text("utf-8", "replace")

    def python_code(self, source: str) -> int:
        """Run `source` as a process of its own in the project; its exit code."""
        return subprocess.run(
            [self.python, "-c", source], cwd=self.folder, env=self.env, timeout=120
        ).returncode

    def session(self, *targets: str, watch: StageWatch = StageWatch()) -> Outcome:
        """Bring stages up to date one after the other, without Prefect."""
        with Session(self.folder, targets, display=self.heard) as session:
            if session.todo:
                session.begin()
            for row in session.plan.todo:
                if any(name in session.outcome.failed for name in row.upstream):
                    session.skipped(row.stage)
                    continue
                try:
                    session.bring(row, watch)
                except StageFailed:
                    continue
        return session.outcome

    # -- what goes on ----------------------------------------------------------------------------------------

    def started(self) -> list[int]:
        """The step at which each start of a STEPS stage began."""
        path = self.folder / ".scene" / "started"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def go(self) -> None:
        (self.folder / ".scene" / "go").touch()

    def holds(self, stage: str = "sft") -> bool:
        """Whether a STEPS stage has come to the step where it waits."""
        return any(
            path.read_text() == "5" for path in (self.folder / ".whetstone/work").glob(f"{stage}-*/place")
        )

    def left(self) -> list[psutil.Process]:
        """Living processes that carry the mark."""
        return [process for process in psutil.process_iter() if self._ours(process)]

    def _ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            return False

    def shown(self, folders: Iterable[str] = SHOWN) -> dict[str, str]:
        """Digest of every output file; of lineage.json without what may differ between equal runs."""
        found = {}
        for folder in folders:
            for path in sorted(
                p
                for p in (self.folder / folder).rglob("*")
                if p.is_file() and p.name not in (".gitignore", "timings.js")
            ):
                data = path.read_bytes()
                if path.name == "lineage.json":
                    facts = json.loads(data)
                    data = json.dumps(
                        {k: v for k, v in facts.items() if k not in ("git", "run")}, sort_keys=True
                    ).encode()
                found[path.relative_to(self.folder).as_posix()] = hashlib.sha256(data).hexdigest()
        return found

    def broken_objects(self) -> list[str]:
        """Objects of DVC's cache whose content is not what their name says."""
        cache = self.folder / ".dvc/cache/files/md5"
        objects = [path for path in cache.glob("??/*") if len(path.name.removesuffix(".dir")) == 30]
        wrong = [
            path
            for path in objects
            if hashlib.md5(path.read_bytes()).hexdigest() != path.parent.name + path.name.removesuffix(".dir")
        ]
        return [str(path) for path in wrong]

    def close(self) -> list[str]:
        """End what is still there; returns what should not have been."""
        for process in self._launched:
            if process.poll() is None:
                process.kill()
                process.wait()
        try:
            until(lambda: not self.left(), 25)
            return []
        except AssertionError:
            left = self.left()
            shown = [f"{process.pid} {' '.join(words_of(process))[:200]}" for process in left]
            for process in left:
                process.send_signal(signal.SIGKILL)
            return shown


def words_of(process: psutil.Process) -> list[str]:
    """Its command line; nothing of one that has just ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def until(true: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until `true()`."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(0.05)


@contextmanager
def scene_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A scene, with this process in its folder and environment; fails when one of its processes is left at
    the end.
    """
    scene = Scene(folder)
    for name in [name for name in os.environ if name.startswith(("PREFECT_", "MLFLOW_", "DVC_", "GIT_"))]:
        monkeypatch.delenv(name)
    for name, value in scene.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    try:
        yield scene
    finally:
        left = scene.close()
    assert not left, f"left behind: {left}"


@pytest.fixture(scope="session")
def run_once(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished graph after a true `whetstone run`: Prefect's and MLflow's databases are there, so that
    copies need not make them.
    """
    folder = tmp_path_factory.mktemp("ran") / "project"
    shutil.copytree(finished, folder, symlinks=True)
    project = toy.Project(folder)
    project.set(
        "rl",
        {
            "common": {},
            "methods": {"grpo": {"objective": "clip"}},
            "runs": {"grpo": {"method": "grpo", "start": "sft", "data": "exam", "judge": "none"}},
        },
    )  # this process knows the project's own objectives only
    project.set("evaluate.runs", {name: {"model": name, "data": "exam"} for name in ("sft", "grpo")})
    project.run()
    project.ran()
    return folder


@pytest.fixture
def scene(run_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    folder = tmp_path / "project"
    shutil.copytree(run_once, folder, symlinks=True)
    with scene_in(folder, monkeypatch) as made:
        yield made
