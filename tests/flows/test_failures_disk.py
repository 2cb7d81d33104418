"""A disk that is full: while a stage writes its checkpoint, and while DVC takes the result into its cache."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.accident import Scene, scene_in

MB = 1 << 20
WRITES = '''"""Writes a model of SIZE bytes."""

import json
import os

from tasks.toy_common import emit


def run(stage):
    emit(stage, {"size": SIZE})
    with open(stage.out("models/sft/model") / "weights.bin", "wb") as stream:
        for at in range(0, SIZE, 1 << 18):
            stream.write(at.to_bytes(4, "big") * (1 << 16))
'''


@pytest.fixture
def small(run_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A scene on a small file system of its own, with 8 MB free until the file `ballast` is removed."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.strip()}")
    try:
        shutil.copytree(run_once, place / "project", symlinks=True)
        with scene_in(place / "project", monkeypatch) as scene:
            yield scene
    finally:
        monkeypatch.undo()
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(scene: Scene) -> None:
    """Leave 8 MB."""
    free = shutil.disk_usage(scene.folder).free
    with open(scene.folder.parent / "ballast", "wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, free - 8 * MB)


def make_room(scene: Scene) -> None:
    (scene.folder.parent / "ballast").unlink()


def test_full_while_a_checkpoint_is_written(small: Scene) -> None:
    before = small.shown()
    small.stage("sft", WRITES.replace("SIZE", str(24 * MB)))
    fill(small)
    outcome = small.session("sft@sft")
    assert outcome.how == {"sft@sft": "failed"}
    assert "No space left on device" in outcome.why["sft@sft"]
    assert "free some space and run again" in outcome.why["sft@sft"]
    assert small.shown() == before
    assert not small.broken_objects()

    make_room(small)
    assert small.session("sft@sft").how == {"sft@sft": "run"}
    assert (small.folder / "models/sft/model/weights.bin").stat().st_size == 24 * MB
    assert not small.broken_objects()
    assert "sft@sft" not in small.plan("sft@sft")


def test_full_while_the_result_is_recorded(small: Scene) -> None:
    small.stage("sft", WRITES.replace("SIZE", str(5 * MB)))
    fill(small)
    outcome = small.session("sft@sft")
    assert outcome.how == {"sft@sft": "failed"}
    assert "could not be recorded" in outcome.why["sft@sft"]
    assert "free some space and run again" in outcome.why["sft@sft"]
    assert "records it without retraining" in outcome.why["sft@sft"]
    assert not small.broken_objects()
    assert small.ran() == ["sft@sft"]
    # not taken for a recorded result; its own record tells that nothing need be trained
    assert small.plan("sft@sft") == {"sft@sft": "restore"}

    make_room(small)
    assert small.session("sft@sft").how["sft@sft"] in ("recover", "restore")
    assert small.ran() == []
    assert not small.broken_objects()
    assert small.plan("sft@sft") == {}
