"""What dvc.yaml's templates say of a graph: references, who makes what, and a stage of the user's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.graph import codelock, dvc_api
from flows.graph import families as declaration
from flows.graph.contradictions import contradictions
from flows.graph.families import divisible, families, overlays, reported
from flows.graph.params import load
from flows.graph.references import Graph
from pipelines.settings import ROOT
from tasks.report_page.stages import ReportedStages
from tests import clone

SHOP = """
stages:
  raw:
    cmd: a
    outs: [data/raw]
  bake:
    foreach: ${bake.runs}
    do:
      cmd: b
      deps: ["models/${item.start}/model", "data/${bake.flour}", "gates/${item.gate}"]
      params: [bake.common, "bake.runs.${key}", code.lock.json: ["bake@${key}"]]
      outs: ["models/${key}/model", {"metrics/${key}.json": {cache: false}}]
      meta: {model: bread, processes: many, takes: {start: [bread], gate: [oven, none]}}
  taste:
    matrix:
      bread: ${taste}
    cmd: c
    deps: ["models/${item.bread}/model"]
    outs: ["samples/${item.bread}.jsonl"]
    meta: {takes: {key: [bread]}}
  oven:
    cmd: d
    deps: [metrics]
    outs: [models/oven/model, models/start/model, gates/tested]
    meta: {model: oven}
  dough:
    cmd: e
    outs: [models/dough/model]
    meta: {model: bread}
"""
RIGHT: dict[str, Any] = {
    "bake": {
        "flour": "raw",
        "common": {},
        "runs": {"roll": {"start": "dough", "gate": "none"}, "loaf": {"start": "roll", "gate": "tested"}},
    },
    "taste": ["loaf"],
}


def graph(tmp_path: Path, text: str = SHOP, **changes: Any) -> Graph:
    (tmp_path / "dvc.yaml").write_text(text)
    raw = yaml.safe_load(yaml.safe_dump(RIGHT))
    for key, value in changes.items():
        target = raw
        *parents, last = key.split("__")
        for part in parents:
            target = target[part]
        target[last] = value
        if value is ...:
            del target[last]
    return Graph(raw, tmp_path)


def test_templates_say_which_stage_reads_which(tmp_path: Path):
    found = graph(tmp_path, SHOP.replace("    deps: [metrics]\n", ""))
    assert not list(found.problems())
    assert found.needs() == {
        "raw": [],
        "bake@roll": ["dough", "raw"],
        "bake@loaf": ["bake@roll", "raw", "oven"],
        "taste@loaf": ["bake@loaf"],
        "oven": [],
        "dough": [],
    }
    assert set(found.models()) == {"roll", "loaf", "oven", "dough"}
    assert set(found.models("bread")) == {"roll", "loaf", "dough"}
    assert overlays(tmp_path) == {("bake", "runs"): ("bake.common",)}
    assert [family.name for family in families(tmp_path) if divisible(family.meta)] == ["bake"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bake__runs__loaf__start": "rol"}, ("bake.runs.loaf.start", "'rol' is made by no stage; nearest: roll")),
        ({"bake__runs__loaf__start": "oven"}, ("bake.runs.loaf.start", "'oven' is no bread; known: roll, dough")),
        ({"bake__runs__loaf__start": ...}, ("bake.runs.loaf.start", "must stand in bake.runs.loaf itself: dvc.yaml makes the stage's inputs of it")),
        ({"bake__runs__loaf__gate": "testd"}, ("bake.runs.loaf.gate", "'testd' is made by no stage; nearest: tested")),
        ({"bake__runs__roll__start": "loaf"}, ("bake.runs.loaf", "bake@loaf needs itself to be made, through bake@roll")),
        ({"bake__runs__roll__start": "roll"}, ("bake.runs.roll.start", "bake@roll needs itself to be made")),
        ({"bake__flour": "row"}, ("bake.flour", "'row' is made by no stage; nearest: raw")),
        ({"taste": ["oven"]}, ("taste", "'oven' is no bread; known: loaf, roll, dough")),
        ({"bake__runs__dough": {"start": "roll", "gate": "none"}}, ("bake.runs.dough", "bake@dough needs itself to be made")),
        ({"bake__runs__a b": {"start": "dough", "gate": "none"}}, ("bake.runs.a b", "names are letters, digits, _ and - (they become stage and")),
    ],
)  # fmt: skip
def test_what_a_setting_refers_to_must_be_made(
    tmp_path: Path, changes: dict[str, Any], said: tuple[str, str]
):
    found = list(graph(tmp_path, SHOP.replace("    deps: [metrics]\n", ""), **changes).problems())
    key, text = said
    if "dough" in key:  # both write models/dough/model
        key, text = "dough", "the name dough is taken: models/dough/model is written by the stage bake@dough"
    assert [problem for problem in found if problem[0] == key and problem[1].startswith(text)], found


SETS = """
stages:
  ask: {foreach: "${ask}", do: {cmd: a, outs: ["data/${key}/records"]}}
  pair: {foreach: "${pair}", do: {cmd: b, outs: ["data/${key}/records"], meta: {data: pairs}}}
  learn:
    foreach: ${learn.runs}
    do:
      cmd: c
      deps: ["data/${item.data}/records"]
      outs: ["models/${key}/model"]
      meta: {settings: [learn.common, "learn.ways.${item.way}", "learn.runs.${key}"], model: m, takes: {data: [questions]}}
"""


def test_a_set_of_a_kind_serves_who_takes_that_kind_and_a_preset_must_be_there(tmp_path: Path):
    (tmp_path / "dvc.yaml").write_text(SETS)
    runs = {
        "a": {"data": "exam", "way": "fast"},
        "b": {"data": "likes", "way": "fsat"},
        "c": {"data": "exam"},
    }
    raw = {"ask": {"exam": {}}, "pair": {"likes": {}}, "learn": {"ways": {"fast": {}}, "runs": runs}}
    assert list(contradictions(raw, tmp_path)) == [
        ("learn.runs.b.data", "'likes' holds no questions; known: exam"),
        ("learn.runs.b.way", "no preset of learn.ways is called 'fsat'; nearest: fast"),
        ("learn.runs.c.way", "must stand in learn.runs.c itself: dvc.yaml reads it there"),
    ]
    assert not Graph(raw, tmp_path).models("pairs")


def test_a_folder_that_is_read_whole_is_waited_for(tmp_path: Path):
    found = graph(tmp_path)
    assert found.needs()["oven"] == ["bake@loaf", "bake@roll"]
    assert list(found.problems()) == [("bake.runs.loaf", "bake@loaf needs itself to be made, through oven")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "stages: 3\n",
        "stages:\n  a: 5\n",
        "a: [\n",
        "stages:\n  a:\n    foreach: [1, 2]\n    do: {cmd: x}\n",
    ],
)
def test_a_dvc_yaml_that_cannot_be_read_is_left_to_dvc(tmp_path: Path, text: str):
    assert list(graph(tmp_path, text).problems()) == []


def test_the_report_is_told_of_the_stages_that_it_shows(tmp_path: Path):
    (tmp_path / "dvc.yaml").write_text(
        """
stages:
  train:
    foreach: ${train.runs}
    do:
      cmd: train
      outs: ["models/${key}/model", "curves/${key}.jsonl", "metrics/train/${key}.json"]
      meta: {model: policy}
  judge:
    cmd: judge
    outs: [metrics/judge.json]
    meta: {report: matches}
  count:
    cmd: count
    outs: [metrics/count.json]
"""
    )
    stages = reported(tmp_path)
    assert stages == {
        "train": {
            "part": "",
            "metrics": "metrics/train/${key}.json",
            "curve": "curves/${key}.jsonl",
            "members": "train.runs",
            "model": "policy",
        },
        "judge": {
            "part": "matches",
            "metrics": "metrics/judge.json",
            "curve": "",
            "members": "",
            "model": "",
        },
    }
    shown = ReportedStages(stages)
    assert shown.makers("grpo", "policy") == ("train@grpo",)
    assert shown.find("matches", "any", tmp_path) == (tmp_path / "judge.json", "judge")
    with pytest.raises(ValueError, match=r"no stage with `meta: .report: pairs.`"):
        shown.find("pairs", "any", tmp_path)


def test_the_part_of_the_report_that_shows_a_stage_counts_for_the_report_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def digests():
        with dvc_api.open_repo(ROOT) as repo:
            declared = [one for one in dvc_api.declared(repo) if one.name in ("report", "base@base")]
        assert len(declared) == 2
        return codelock.digests(ROOT, declared, params)

    params = load(ROOT)
    before = digests()
    text = (ROOT / "dvc.yaml").read_text()
    (tmp_path / "dvc.yaml").write_text(text.replace("report: matches", "report: pairs"))
    monkeypatch.setattr(declaration, "ROOT", tmp_path)
    after = digests()
    assert after["base@base"] == before["base@base"]
    assert "stages" not in before["base@base"][codelock.SETTINGS]
    assert after["report"] != before["report"]


OWN = '''"""Counts the letters of what a model answers."""

import json

from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write metrics/letters/<run>.json."""
    chosen = stage.value(f"letters.{stage.item}")
    rows = [json.loads(line) for line in stage.input(f"samples/{chosen['model']}.jsonl").read_text("utf-8").splitlines()]
    count = sum(row["text"].count(chosen["letter"]) for row in rows)
    stage.out(f"metrics/letters/{stage.item}.json").write_text(json.dumps({"count": count}) + "\\n", "utf-8")
'''
CHECK = '''"""One letter."""

from tasks.checks import File


def check(settings: dict, file: File):
    if len(settings["letter"]) != 1:
        yield "letter", f"one letter is counted, not {settings['letter']!r}"
'''
DECLARED = """
  letters:
    foreach: ${letters}
    do:
      cmd: python -m tasks letters@${key}
      deps: [ "samples/${item.model}.jsonl" ]
      params:
        - letters.${key}
        - code.lock.json: [ "letters@${key}" ]
      outs:
        - metrics/letters/${key}.json
"""


def test_a_stage_of_ones_own_is_one_file_and_one_declaration(tmp_path: Path, learning_python: str):
    """In a clone of the whole repository: checked, planned, run, stale by its own code and settings, in the
    lineage of nothing else.
    """
    project = clone.make(tmp_path / "project", python=learning_python)
    (project.folder / "tasks/letters.py").write_text(OWN)
    with open(project.folder / "dvc.yaml", "a") as stream:
        stream.write(DECLARED)
    (project.folder / "tasks/letters_check.py").write_text(CHECK)
    project.set("letters", {"vowel": {"model": "sftt", "letter": "ab"}})
    refused = project.call("plan", "letters")
    assert refused.returncode == 2
    assert "letters.vowel.model: 'sftt' is made by no stage; nearest: sft" in refused.stderr
    assert "letters.vowel.letter: one letter is counted, not 'ab'" in refused.stderr
    project.set("letters", {"vowel": {"model": "sft", "letter": "a"}})
    ended = {name: stage["ended"] for name, stage in project.run("letters")["stages"].items()}
    assert ended == dict.fromkeys(
        ("corpus@exam", "base@base", "sft@sft", "evaluate@sft", "letters@vowel"), "run"
    )
    assert json.loads((project.folder / "metrics/letters/vowel.json").read_text())["count"] >= 0
    assert project.plan("letters") == {}
    project.set("letters.vowel.letter", "b")
    assert project.plan("letters") == {"letters@vowel": "run"}
    project.set("letters.vowel.letter", "a")
    project.edit("tasks/letters.py", "count = sum", "count = 1 + sum")
    assert project.plan("letters") == {"letters@vowel": "run"}
    (project.folder / "recipes/mine.yaml").write_text("extends: [default]\n")
    used = project.call("use", "mine")
    assert used.returncode == 0, used.stderr
    assert (
        project.call("plan", "base@base").returncode == 0
    )  # the recipe knows nothing of letters: none of them
    project.set("letters", None)
    assert "letters: missing; dvc.yaml makes the stages letters@" in project.call("plan", "letters").stderr
    project.set("letters", {})
    project.set("letter", {"vowel": 1})
    assert "letter: unknown" in project.call("plan", "letters").stderr
