"""Settings beside the recipe are said at every plan, status and run; a recipe is used as it is; nothing is
edited under a run.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from flows.command_line import edited
from flows.graph.params_file import PARAMS
from tests.flows.accident import STEPS, Scene, until
from tests.flows.toy import ROOT, Project

SAID = "recipe default with 1 setting of your own: report.samples "


def test_what_S_wrote_is_said_first_and_in_json(graph: Project) -> None:
    assert "of your own" not in graph.call("plan").stdout
    supposed = graph.call("plan", "-S", "report.samples=2")
    assert supposed.stdout.startswith(SAID)
    assert "of your own" not in graph.call("plan").stdout
    assert graph.call("run", "-S", "report.samples=2", "base@base").returncode == 0
    for words in (["plan"], ["status"]):
        assert graph.call(*words).stdout.startswith(SAID)
        found = json.loads(graph.call(*words, "--json").stdout)
        assert found["recipe"] == "default"
        assert [(row["key"], row["now"]) for row in found["own"]] == [(["report", "samples"], 2)]


def test_a_run_begins_with_them(scene: Scene) -> None:
    scene.edit("pipelines/toy/supervised.py", "0.5", "0.25")
    scene.git("commit", "-qam", "edit")
    done = scene.call("run", "sft@sft", "-S", "execution.log_period_s=1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("recipe default with 1 setting of your own: execution.log_period_s ")


def test_use_says_where_it_kept_them_and_how_they_come_back(graph: Project) -> None:
    (graph.folder / "recipes").mkdir(exist_ok=True)
    (graph.folder / "recipes/sharp.yaml").write_text(
        "extends: [default]\nrl: {methods: {other: {max_error_share: 0.1}}}\n"
    )
    assert graph.call("use", "sharp").returncode == 0
    graph.call("plan", "-S", "report.samples=2")
    graph.call("run", "-S", "report.samples=2", "base@base")
    done = graph.call("use", "default")
    (line,) = [line for line in done.stdout.splitlines() if "come back with: " in line]
    command = line.partition("come back with: ")[2].split()
    assert command[:3] == ["whetstone", "use", "sharp"]
    assert "of your own" not in graph.call("plan").stdout
    assert graph.call(*command[1:]).returncode == 0
    assert "recipe sharp with 1 setting of your own: report.samples" in graph.call("plan").stdout
    found = json.loads(graph.call("use", "default", "--keep", "--json").stdout)
    assert found["bring_back"] is None
    assert graph.call("plan").stdout.startswith(SAID)


def test_nothing_edits_params_under_a_run_and_status_shows_it(scene: Scene) -> None:
    scene.stage("sft", STEPS)
    run = scene.launch("run", "sft@sft")
    until(scene.holds)
    before = (scene.folder / "params.yaml").read_bytes()
    for words in (["use", "default"], ["run", "-S", "report.samples=2"]):
        refused = scene.call(*words)
        assert refused.returncode == 1
        assert f"pid {run.pid}" in refused.stderr
    assert (scene.folder / "params.yaml").read_bytes() == before
    until(lambda: "5/12" in scene.call("status").stdout, 30)
    shown = scene.call("status").stdout
    assert f"(pid {run.pid})" in shown
    assert "running since " in shown
    assert "evaluate@sft" not in shown  # how long other stages took once is not what runs
    found = json.loads(scene.call("status", "--json").stdout)["running"]["now"]["stages"]["sft@sft"]
    assert found["progress"]["done"] == 5
    assert found["since"] > 0
    scene.go()
    assert run.wait(120) == 0, scene.output()
    shown = scene.call("status").stdout
    assert "nothing runs now" in shown
    assert "evaluate@sft" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "-S", "report.samples=2", "sftt"], "did you mean sft"),
        (["run", "-S", "report.samples=2", "sft@sft", "rl@"], "no stage rl@"),
    ],
    ids=["one of none", "one of two"],
)
def test_a_run_that_is_refused_writes_no_setting(graph: Project, words: list[str], said: str) -> None:
    before = (graph.folder / "params.yaml").read_bytes()
    # damaged: the next run mends it, a refused one leaves it
    (graph.folder / "dvc.lock").write_bytes(b"\0" * 100)
    refused = graph.call(*words)
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert said in refused.stderr
    assert (graph.folder / "params.yaml").read_bytes() == before


BAD = [
    "identity.seed=!!python/object/apply:os.system ['true']",
    "identity.seed=!!python/name:os.system",
    "identity.seed=&a [*a]",
    "identity.seed=[1, 2",
    "identity.seed=\x1b]0;owned\x07",
    "identity.seed=2001-01-01",
    "identity.seed=!!binary aGk=",
    "identity.seed=!!set {a, b}",
    "identity.seed=2001-99-99",
    "identity.seed=" + "[" * 5000,
    "identity.seed=*nobody",
    "identity.seed",
    "=3",
    "identity..seed=3",
    "identity.seed.deep=3",
    "identity.seed=\udc80",
]


@pytest.mark.parametrize("setting", BAD, ids=range(len(BAD)))
def test_a_bad_setting_is_a_sentence(
    tmp_path: Path, setting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / PARAMS).write_text((ROOT / PARAMS).read_text())
    with pytest.raises(typer.Exit) as ended:
        edited(tmp_path, [setting], None, False)
    assert ended.value.exit_code == 2
    said = capsys.readouterr().err
    assert "seed" in said or "-S =3" in said
    assert "\x1b" not in said


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_bad_setting_leaves_params_as_they_are(graph: Project, command: str) -> None:
    before = (graph.folder / "params.yaml").read_bytes()
    done = graph.call(command, "-S", BAD[0])
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "-S identity.seed" in done.stderr
    assert (graph.folder / "params.yaml").read_bytes() == before
