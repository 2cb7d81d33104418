"""A reference that may name nothing need not be written: `use` and `run` write it, DVC never misses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.graph import recipes
from flows.graph.families import NONE, at, families
from flows.graph.fill import fill, filled, missing
from flows.graph.params_file import PARAMS, document_of, parse, read_yaml, text_of
from tests.flows.toy import ROOT, Project

SHOP = """
stages:
  bake:
    foreach: ${bake.runs}
    do:
      cmd: b
      deps: ["models/${item.start}/model", "gates/${item.gate}", "ovens/${item.oven}"]
      outs: ["models/${key}/model"]
      meta:
        settings: [bake.common, "bake.ways.${item.way}", "bake.runs.${key}"]
        takes: {start: [bread], gate: [oven, none], oven: [none, oven]}
  taste:
    matrix: {bread: "${taste}"}
    cmd: c
    deps: ["models/${item.bread}/model"]
    outs: ["samples/${item.bread}.jsonl"]
    meta: {takes: {bread: [bread, none]}}
"""


def test_what_dvc_yaml_lets_name_nothing_is_filled_in(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text(SHOP)
    (tmp_path / "presets.yaml").write_text("bake: {ways: {tested: {gate: hot}}}\n")
    runs: dict[str, Any] = {
        "whole": {"start": "a", "gate": "hot", "oven": "none"},
        "bare": {"start": "a", "way": "plain"},
        "null": {"start": "a", "gate": None, "oven": "old"},
        "preset": {"start": "a", "way": "tested", "oven": "old"},
        "wrong": 5,
    }
    raw = {"bake": {"common": {}, "runs": runs}, "taste": ["whole"]}
    paths = [(run, setting) for _, _, run, setting in missing(raw, tmp_path)]
    assert paths == [("bare", "gate"), ("bare", "oven"), ("null", "gate")]
    made = filled(raw, tmp_path)["bake"]["runs"]
    assert made["bare"] == {"start": "a", "way": "plain", "gate": "none", "oven": "none"}
    assert made["null"]["gate"] == "none"
    assert made["whole"] is runs["whole"]
    assert "gate" not in runs["bare"]
    assert missing(filled(raw, tmp_path), tmp_path) == []
    shared = {"bake": {"common": {"gate": "hot"}, "runs": {"bare": {"start": "a", "oven": "old"}}}}
    assert missing(shared, tmp_path) == []  # the check says that it must stand in the run


@pytest.mark.parametrize(
    "raw", [{}, [], None, {"bake": 3}, {"bake": {"runs": ["a"]}}, {"bake": {"runs": None}}]
)
def test_a_wrong_file_is_left_to_its_check(tmp_path: Path, raw: Any) -> None:
    (tmp_path / "dvc.yaml").write_text(SHOP)
    (tmp_path / "presets.yaml").write_text("{}\n")
    assert missing(raw, tmp_path) == []
    assert filled(raw, tmp_path) is raw


def test_comments_stay_where_they_are() -> None:
    document = document_of(
        "rl:\n  runs:\n    # the first\n    a:\n      method: m   # why\n      start: s\n\n"
        "    # the second\n    b: {method: m, start: s}   # short\n\n# what follows\nevaluate: {}\n"
    )
    assert fill(document, ROOT) == ["rl.runs.a.judge", "rl.runs.b.judge"]
    assert text_of(document) == (
        "rl:\n  runs:\n    # the first\n    a:\n      method: m   # why\n      judge: none\n      start: s\n\n"
        "    # the second\n    b: {method: m, judge: none, start: s} # short\n\n# what follows\nevaluate: {}\n"
    )


@pytest.mark.parametrize("name", recipes.names(ROOT))
def test_no_recipe_says_it_and_every_params_yaml_does(name: str) -> None:
    recipe = read_yaml(ROOT / f"recipes/{name}.yaml")
    runs = [
        run
        for family in families(ROOT)
        for run in (at(recipe, family.over) or {}).values()
        if family.optional
    ]
    assert not [run for run in runs if isinstance(run, dict) and NONE in run.values()]
    assert missing(parse(recipes.show(ROOT, name)), ROOT) == []


def test_a_file_that_lacks_it_is_planned_as_if_it_stood_there_and_a_run_writes_it(project: Project) -> None:
    assert project.run("rl")["ok"]
    written = (project.folder / PARAMS).read_text()
    project.set("rl.runs.grpo.judge", None)
    before = (project.folder / PARAMS).read_bytes()
    done = project.call("plan", "rl", "--json")
    assert done.returncode == 0, done.stderr
    assert {row["action"] for row in json.loads(done.stdout)["stages"]} == {"keep"}
    assert done.stderr.strip() == "params.yaml: `whetstone run` would add rl.runs.grpo.judge: none"
    assert "of your own" not in project.call("status").stdout
    assert (project.folder / PARAMS).read_bytes() == before
    assert "item.judge" in project.dvc("status").stderr
    done = project.call("run", "rl", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.strip() == "params.yaml: added rl.runs.grpo.judge: none"
    assert yaml.safe_load(written) == read_yaml(project.folder / PARAMS)
    project.ran()
    assert project.dvc("repro", "rl@grpo").returncode == 0
    assert project.ran() == []


def test_a_run_of_S_and_one_in_code_lack_nothing(project: Project) -> None:
    new = "rl.runs.new={method: grpo, start: sft, data: exam}"
    assert project.plan("rl@new", "-S", new)["rl@new"] == "run"
    project.set("rl.runs.new", {"method": "grpo", "start": "sft", "data": "exam"})
    assert project.bring("rl@new")["rl@new"] == "run"  # a session without the command line
    assert read_yaml(project.folder / PARAMS)["rl"]["runs"]["new"]["judge"] == "none"
    project.set("rl.runs.new.judge", None)
    project.set("rl.common.judge", "nobody")
    refused = project.call("plan", "rl@new")
    assert refused.returncode == 2
    assert "rl.runs.new.judge: must stand in rl.runs.new itself" in refused.stderr
