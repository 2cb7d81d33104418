"""Code, inputs or parameters edited while a stage runs: the result is not recorded as theirs, whoever runs
the stage.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import yaml

from tests.flows.toy import Project

EDITS = {
    "code": (
        "pipelines/toy/supervised.py",
        "x * 0.5",
        "x * 0.25",
        "code.lock.json:sft@sft.modules.pipelines.toy.supervised",
    ),
    "input": ("data/exam/records/content.txt", "three", "four", "data/exam/records"),
    "parameter": ("params.yaml", "steps: 999", "steps: 998", "params.yaml:sft.runs.sft.steps"),
}


def wait_until_asleep(graph: Project) -> None:
    end = time.monotonic() + 120
    while not list((graph.folder / ".whetstone/work").glob("sft-*/sleeping")):
        assert time.monotonic() < end, "sft did not start"
        time.sleep(0.02)


def edit_while_asleep(graph: Project, path: str, old: str, new: str) -> None:
    """Wait until sft is in the middle of its work, then edit."""
    wait_until_asleep(graph)
    text = (graph.folder / path).read_text()
    assert old in text
    (graph.folder / path).unlink()  # an output may be a link into the cache
    (graph.folder / path).write_text(text.replace(old, new))


def recorded(graph: Project) -> object:
    return yaml.safe_load((graph.folder / "dvc.lock").read_text())["stages"]["sft@sft"]


def run_cache(graph: Project) -> set[str]:
    return {path.name for path in Path(graph.folder / ".dvc/cache/runs").rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", EDITS)
def test_a_result_whose_inputs_changed_meanwhile_is_not_recorded(graph: Project, kind: str):
    path, old, new, named = EDITS[kind]
    lock, cache = recorded(graph), run_cache(graph)
    graph.set("sft.common.steps", 999)
    running = graph.start(".whetstone/bring.py", "sft@sft", TOY_SLEEP="1.5")
    edit_while_asleep(graph, path, old, new)
    out, err = running.communicate(timeout=200)
    assert running.returncode == 1, err
    assert json.loads(out)["stages"]["sft@sft"]["error"].startswith(
        f"sft@sft drifted: {named} changed while it ran"
    )
    assert recorded(graph) == lock
    assert run_cache(graph) == cache
    assert graph.plan()["sft@sft"] == "run"
    assert graph.bring("sft@sft")["sft@sft"] == "run"
    assert graph.plan("sft@sft") == {}
    (kept,) = graph.aside()
    assert (kept["stage"], kept["why"]) == ("sft@sft", f"{named} changed while it ran")
    assert (graph.folder / kept["models"][0] / "content.txt").exists()


@pytest.mark.parametrize(
    "name",
    [
        ".supervised.py.swp",
        "supervised.py~",
        ".DS_Store",
        "supervised.py.orig",
        "NOTES.md",
        "4913",
        "#supervised.py#",
        ".ipynb_checkpoints/loss.py",
    ],
)
def test_what_an_editor_leaves_beside_the_code_is_no_drift(graph: Project, name: str):
    graph.set("sft.common.steps", 999)
    running = graph.start(".whetstone/bring.py", "sft@sft", TOY_SLEEP="0.5")
    wait_until_asleep(graph)
    path = graph.folder / "pipelines/toy" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("VALUE = 1")
    out, err = running.communicate(timeout=200)
    assert running.returncode == 0, out + err
    assert graph.aside() == []
    assert graph.plan("sft@sft") == {}


def test_an_edit_that_was_undone_meanwhile_is_no_drift(graph: Project):
    graph.set("sft.common.steps", 999)
    running = graph.start(".whetstone/bring.py", "sft@sft", TOY_SLEEP="1.5")
    edit_while_asleep(graph, "params.yaml", "steps: 999", "steps: 998")
    graph.set("sft.common.steps", 999)
    out, err = running.communicate(timeout=200)
    assert running.returncode == 0, out + err


@pytest.mark.parametrize("kind", EDITS)
def test_a_bare_repro_is_guarded_as_well(graph: Project, kind: str):
    path, old, new, _ = EDITS[kind]
    lock, cache = recorded(graph), run_cache(graph)
    graph.set("sft.common.steps", 999)
    running = graph.start("-m", "dvc", "repro", "sft@sft", TOY_SLEEP="1.5")
    edit_while_asleep(graph, path, old, new)
    out, err = running.communicate(timeout=200)
    assert running.returncode != 0
    assert "changed while the stage ran" in out + err
    assert "exited with 75" in out + err
    (kept,) = graph.aside()
    assert kept["why"].startswith("changed while the stage ran: ")
    assert recorded(graph) == lock
    assert run_cache(graph) == cache
    assert graph.plan()["sft@sft"] == "run"
