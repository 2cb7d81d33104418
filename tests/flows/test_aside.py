"""What was trained is never thrown away: it is kept aside by name, with the reason, listed, never fresh, and
removed only when asked.
"""

from __future__ import annotations

import json

import pytest

from flows.graph import aside
from tasks.publish import mark_done, publish
from tasks.stage import Spec
from tests.flows.toy import Project

LATE = """
    from importlib import import_module
    import_module(".".join(["pipelines", "toy", "hidden"]))
"""
SWALLOWED = """
    from contextlib import suppress
    with suppress(Exception):
        open("params.yaml")
"""


def refuse(graph: Project, more: str) -> None:
    """Let sft read something unforeseen when it has done all its work."""
    path = graph.folder / "tasks/sft.py"
    path.write_text(path.read_text() + more)


@pytest.mark.parametrize(
    ("more", "why"), [(LATE, "sft@sft loaded pipelines.toy.hidden"), (SWALLOWED, "sft@sft reads params.yaml")]
)
@pytest.mark.parametrize("command", [".whetstone/bring.py", "-m dvc repro", "-m tasks"])
def test_a_training_that_is_refused_at_its_end_is_kept(graph: Project, command: str, more: str, why: str):
    refuse(graph, more)
    done = graph.python_call(*command.split(), "sft@sft")
    assert done.returncode != 0
    assert why in done.stdout + done.stderr
    (kept,) = graph.aside()
    assert kept["why"].startswith(why)
    assert kept["name"] in done.stdout + done.stderr
    assert (graph.folder / kept["models"][0] / "content.txt").exists()
    assert graph.plan()["sft@sft"] == "run"
    graph.python_call(*command.split(), "sft@sft")
    assert len(graph.aside()) == 2, "the second is no continuation of the first"


def test_it_can_be_asked_and_removed(graph: Project):
    refuse(graph, LATE)
    graph.bring("sft@sft", expect=1)
    (kept,) = graph.aside()
    assert "kept aside, never fresh: 1 (`whetstone aside`)" in graph.call("status").stdout
    shown = graph.call("aside").stdout
    assert kept["name"] in shown
    assert kept["models"][0] in shown
    told = graph.call("lineage", kept["models"][0].removesuffix("/model"), "--json")
    assert told.returncode == 1
    assert any(
        "kept aside and never counts as fresh: sft@sft loaded" in row["problem"]
        for row in json.loads(told.stdout)["problems"]
    )
    assert graph.call("aside", "sft-1", "--remove").returncode == 2
    assert graph.call("aside", kept["name"], "--remove").returncode == 0
    assert graph.aside() == []


def test_the_earlier_result_comes_back_when_the_edit_is_undone(graph: Project):
    before = (graph.folder / "tasks/sft.py").read_text()
    model = (graph.folder / "models/sft/model/content.txt").read_bytes()
    refuse(graph, LATE)
    graph.bring("sft@sft", expect=1)
    (graph.folder / "tasks/sft.py").write_text(before)
    graph.bring("sft@sft")
    assert graph.plan("sft@sft") == {}
    assert (graph.folder / "models/sft/model/content.txt").read_bytes() == model


def made(root, text: str = "w") -> Spec:
    """A finished stage's work directory, published."""
    work = root / ".whetstone" / "work" / "sft-0123"
    spec = Spec("sft@sft", "0123", str(work), ("models/sft/model", "metrics/train/sft.json"))
    for out in ("models/sft/model/w.bin", "metrics/train/sft.json"):
        (work / "outs" / out).parent.mkdir(parents=True, exist_ok=True)
        (work / "outs" / out).write_text(text)
    (work / "checkpoints/step-1").mkdir(parents=True)
    mark_done(work, spec.outs)
    publish(work, root)
    return spec


def test_a_kill_while_it_is_put_aside_loses_nothing(tmp_path):
    spec = made(tmp_path)
    moves = []

    def killed(*paths):
        moves.append(paths)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aside.os, "replace", killed)
        patch.setattr(aside, "write_json", lambda path, value: path.write_text(json.dumps(value)))
        with pytest.raises(KeyboardInterrupt):
            aside.keep(tmp_path, spec, "edited")
    assert moves
    kept = aside.clear(tmp_path, spec)
    assert (kept / "outs/models/sft/model/w.bin").read_text() == "w"
    assert (kept / "checkpoints/step-1").is_dir()
    assert not (tmp_path / "models/sft/model").exists()
    assert not (tmp_path / spec.work).exists()


def test_two_of_one_second_do_not_meet(tmp_path):
    names = {aside.keep(tmp_path, made(tmp_path, text), "edited").name for text in ("a", "b", "c")}
    assert len(names) == len(aside.entries(tmp_path)) == 3


def test_what_holds_no_weights_is_not_kept(tmp_path):
    work = tmp_path / "work"
    (work / "outs/metrics").mkdir(parents=True)
    (work / "outs/metrics/x.json").write_text("{}")
    assert aside.keep(tmp_path, Spec("corpus@x", "1", str(work), ("metrics/x.json",)), "edited") is None
    assert work.exists()
