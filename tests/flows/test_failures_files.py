"""Files that are not what they were: a dvc.lock that cannot be read, weights that are cut short."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.models import policy
from tests.flows.accident import Scene
from tests.tiny import make_tiny_model, make_tiny_tokens

DAMAGE = {
    "garbage": lambda data: b"\x00\xff{]:" * 50,
    "truncated": lambda data: data[: len(data) // 2],
    "in the middle of a key": lambda data: data[: data.index(b"evaluate@sft") + 5],
    "empty": lambda data: b"",
    "another schema": lambda data: b"schema: '7.0'\nstages: [1, 2]\n",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_dvc_lock_that_cannot_be_read(scene: Scene, kind: str) -> None:
    path = scene.folder / "dvc.lock"
    damaged = DAMAGE[kind](path.read_bytes())
    before = scene.shown()
    path.write_bytes(damaged)
    planned = scene.call("plan")
    unreadable = planned.returncode != 0
    if unreadable:
        assert planned.returncode == 1
        assert "dvc.lock" in planned.stderr
        assert "`whetstone run` moves it aside" in planned.stderr
        assert "Traceback" not in planned.stderr
    else:  # an empty file, or one cut at the right place, is a lock with fewer entries
        assert kind in ("empty", "truncated")
    assert path.read_bytes() == damaged  # the plan changes nothing

    outcome = scene.session()
    assert set(outcome.how.values()) <= {"restore"}
    assert scene.ran() == []
    assert scene.shown() == before
    assert scene.plan() == {}
    if unreadable:
        (aside,) = (scene.folder / ".whetstone/broken").iterdir()
        assert aside.read_bytes() == damaged
        assert any(str(aside.relative_to(scene.folder)) in text for text in scene.heard.said)


def test_dvc_lock_without_a_good_copy(scene: Scene) -> None:
    """Older copies, commits or the run cache bring everything back."""
    (scene.folder / ".whetstone/dvc.lock.good").unlink()
    before = scene.shown()
    (scene.folder / "dvc.lock").write_bytes(b"\x00")
    outcome = scene.session()
    assert set(outcome.how.values()) <= {"restore"}
    assert scene.ran() == []
    assert scene.shown() == before
    assert scene.plan() == {}


def test_dvc_rwlock_cut_short(scene: Scene) -> None:
    """DVC writes it in place; the next run clears what a kill in the middle left, whoever was killed."""
    rwlock = scene.folder / ".dvc/tmp/rwlock"
    rwlock.write_text('{"read": {"/a": [{"pid": 1, "cm')
    scene.edit("pipelines/toy/supervised.py", "0.5", "0.25")
    assert scene.session("sft@sft").how == {"sft@sft": "run"}


def test_truncated_output_is_checked_out(scene: Scene) -> None:
    weights = scene.folder / "models/base/model/w.bin"
    weights.write_bytes(b"")
    assert scene.plan() == {"base@base": "checkout"}
    assert scene.session().how == {"base@base": "restore"}
    assert weights.read_text() == "b"
    assert scene.ran() == []


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.999])
def test_truncated_safetensors(tmp_path: Path, kept: float) -> None:
    folder = tmp_path / "model"
    tokens = make_tiny_tokens(tmp_path / "tokenizer")
    policy.save(make_tiny_model(tokens), tokens, folder)
    weights = folder / "model.safetensors"
    os.truncate(weights, int(weights.stat().st_size * kept))
    with pytest.raises(ValueError, match="cannot be read") as caught:
        policy.load(folder)
    assert str(folder) in str(caught.value)
    assert "run its stage again" in str(caught.value)
