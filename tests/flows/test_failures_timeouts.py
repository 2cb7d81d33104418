"""A stage that hangs past its limit is stopped with everything that it has started."""

from __future__ import annotations

import json

from tests.flows.accident import STEPS, Scene, until


def test_limit_of_all_stages(scene: Scene) -> None:
    scene.stage("sft", STEPS)
    scene.set("execution.timeout_s", 3)
    before = scene.shown()
    done = scene.call("run", "--json")
    assert done.returncode == 1, done.stderr
    stages = json.loads(done.stdout)["stages"]
    assert "timed out after 3 s" in stages["sft@sft"]["error"]
    assert "meta.timeout or execution.timeout_s sets the limit" in stages["sft@sft"]["error"]
    assert {name: row["ended"] for name, row in stages.items() if row["ended"] != "keep"} == {
        "sft@sft": "failed",
        **dict.fromkeys(("evaluate@sft", "rl@grpo", "evaluate@grpo", "report"), "skipped"),
    }
    until(lambda: not scene.left(), 30)
    assert scene.shown() == before


def test_limit_of_one_stage(scene: Scene) -> None:
    """meta.timeout wins over execution.timeout_s; what was reached is kept for the next run."""
    scene.stage("sft", STEPS)
    scene.set("execution.timeout_s", 600)
    scene.edit(
        "dvc.yaml",
        'settings: [sft.common, "sft.runs.${key}"]\n',
        'settings: [sft.common, "sft.runs.${key}"]\n        timeout: 3\n',
    )
    assert "timed out after 3 s" in scene.session("sft@sft").why["sft@sft"]
    until(lambda: not scene.left(), 30)
    scene.go()
    assert scene.session("sft@sft").how == {"sft@sft": "run"}
    assert scene.started() == [0, 5]
