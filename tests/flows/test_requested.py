"""`rl@NAME` and `evaluate@NAME` of a preset that params.yaml holds and does not list: planned without
writing, listed by a run.
"""

from __future__ import annotations

import json

import pytest

from flows.graph.fill import fill
from flows.graph.params_file import PARAMS, load_with_comments, read_yaml, text_of
from flows.graph.requested import add, askable, missing
from tests.flows.toy import ALL, ROOT, Project

RUN = {"method": "grpo", "start": "sft", "data": "exam", "judge": "none"}
RAW = {
    "rl": {"common": {}, "methods": {"grpo": {}, "spo": {}, "tree": {}}, "runs": {"grpo": RUN}},
    "evaluate": {"runs": {name: {"model": name, "data": "exam"} for name in ("sft", "grpo")}},
    "base": {"runs": {"base": {"data": "exam"}}},
}


@pytest.mark.parametrize(
    ("targets", "wanted"),
    [
        (["rl@spo"], [("rl", "runs", "spo")]),
        (["evaluate@spo"], [("rl", "runs", "spo"), ("evaluate", "runs", "spo")]),
        (["rl@spo", "evaluate@spo"], [("rl", "runs", "spo"), ("evaluate", "runs", "spo")]),
        (["evaluate@base"], [("evaluate", "runs", "base")]),
        (["rl@tree", "rl@spo"], [("rl", "runs", "tree"), ("rl", "runs", "spo")]),
        (
            [
                "rl@grpo",
                "evaluate@sft",
                "rl",
                "sft@sft",
                "rl@unknown",
                "rl@common",
                "rl@methods",
                "rl@runs",
                "rl@sft",
                "corpus@spo",
            ],
            [],
        ),
    ],
    ids=lambda value: " ".join(value) if value and isinstance(value[0], str) else "",
)
def test_what_a_target_takes(targets: list[str], wanted: list[tuple[str, str, str]]):
    assert missing(RAW, targets) == wanted


SHOP = """
stages:
  bake:
    foreach: ${bake.runs}
    do:
      cmd: b
      deps: ["models/${item.dough}/model", "fields/${item.flour}/grain", "models/${item.oven}/model"]
      outs: ["models/${key}/model"]
      meta:
        settings: ["bake.ways.${item.way}", "bake.runs.${key}"]
        model: bread
        named: way
        takes: {oven: [oven, none]}
  taste:
    foreach: ${tastes}
    do:
      cmd: c
      deps: ["models/${item.bread}/model", "fields/${item.flour}/grain"]
      outs: ["notes/${key}"]
      meta: {named: bread, takes: {bread: [bread]}}
  grow: {foreach: "${grow}", do: {cmd: d, outs: ["fields/${key}/grain"]}}
  dough: {cmd: e, outs: [models/dough/model], meta: {model: bread}}
"""


def test_any_stage_of_any_graph_may_be_asked_for(tmp_path):
    (tmp_path / "dvc.yaml").write_text(SHOP)
    raw = {
        "grow": {"rye": {}, "oats": {}},
        "bake": {
            "ways": {"slow": {}, "fast": {}},
            "runs": {
                "stove": {"way": "slow", "dough": "dough", "flour": "rye", "oven": "old"},
                "loaf": {"way": "slow", "dough": "dough", "flour": "oats"},
            },
        },
        "tastes": {
            "dough": {"bread": "dough", "flour": "rye"},
            "long": {"bread": "loaf", "flour": "oats", "hours": 3},
        },
    }
    assert askable(raw, tmp_path) == ["bake@slow", "taste@slow", "bake@fast", "taste@fast"]
    additions = missing(raw, ["taste@fast", "taste@stove", "taste@nobody", "grow@fast"], tmp_path)
    assert additions == [("bake", "runs", "fast"), ("tastes", "fast"), ("tastes", "stove")]
    add(raw, additions, tmp_path)
    assert raw["bake"]["runs"]["fast"] == {"way": "fast", "dough": "dough", "flour": "oats"}
    assert raw["tastes"]["fast"] == {"bread": "fast", "flour": "oats", "hours": 3}
    assert raw["tastes"]["stove"] == {"bread": "stove", "flour": "rye"}
    assert missing(raw, ["taste@fast", "bake@fast"], tmp_path) == []


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"rl": None},
        {"rl": {"methods": {"spo": {}}, "runs": {"a": RUN}}, "evaluate": 3},
        {"rl": {"methods": {"spo": {}}, "runs": ["a"]}},
        [],
    ],
)
def test_a_wrong_file_is_left_to_its_check(raw: object):
    wanted = missing(raw, ["rl@spo", "evaluate@spo"])
    if wanted:
        add(raw, wanted)


def test_comments_and_style_stay(tmp_path):
    path = tmp_path / PARAMS
    path.write_text(
        "rl:\n  methods: {spo: {}}\n  runs:   # those with a stage\n    grpo: {method: grpo, start: sft, data: exam, judge: none}   # one\nevaluate:\n  runs:\n    sft: {model: sft, data: exam}   # first\n  # and so on\n  common: {}\n"
    )
    document = load_with_comments(path)
    add(document, [("rl", "runs", "spo"), ("evaluate", "runs", "spo")])
    fill(document, ROOT)
    text = text_of(document)
    assert "runs:   # those with a stage\n" in text
    assert "    spo: {method: spo, start: sft, judge: none, data: exam}\n" in text
    assert "    sft: {model: sft, data: exam}   # first\n" in text
    assert "    spo: {model: spo, data: exam}\n" in text
    assert "# and so on" in text
    assert text.count("spo") == 5


@pytest.fixture
def spare(graph: Project) -> Project:
    """The finished graph, whose parameters hold a preset `spare` without a stage."""
    graph.set("rl.methods.spare", {"objective": "plain", "iterations": 7})
    assert graph.plan() == {}
    return graph


def test_plan_shows_what_would_happen_without_writing(spare: Project):
    before = (spare.folder / PARAMS).read_bytes()
    done = spare.call("plan", "evaluate@spare", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["stage"]: row["action"] for row in json.loads(done.stdout)["stages"]}
    assert rows == {
        "corpus@exam": "keep",
        "base@base": "keep",
        "sft@sft": "keep",
        "rl@spare": "run",
        "evaluate@spare": "run",
    }
    assert (
        done.stderr.strip()
        == "params.yaml: `whetstone run` would add spare to rl.runs, spare to evaluate.runs"
    )
    assert (spare.folder / PARAMS).read_bytes() == before
    assert spare.plan() == {}


def test_run_lists_the_preset_says_so_and_goes_on(project: Project):
    project.set("rl.methods.spare", {"objective": "plain"})
    done = project.call("run", "rl@spare", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.strip() == "params.yaml: added spare to rl.runs"
    assert (
        {name for name, stage in json.loads(done.stdout)["stages"].items() if stage["ended"] == "run"}
        == {"rl@spare"}
        == set(project.ran())
    )
    params = read_yaml(project.folder / PARAMS)
    assert params["rl"]["runs"]["spare"] == {
        "method": "spare",
        "start": "sft",
        "data": "exam",
        "judge": "none",
    }
    assert list(params["evaluate"]["runs"]) == ["sft", "grpo", "other"]
    assert (project.folder / "models/spare/model").is_dir()
    assert project.plan() == {"report": "run"}  # it names the methods
    again = project.call("run", "rl@spare", "evaluate@spare", "--json")
    assert again.stderr.strip() == "params.yaml: added spare to evaluate.runs"
    assert project.ran() == ["evaluate@spare"]


@pytest.mark.parametrize("target", ["rl@sparre", "evaluate@sparre"])
def test_an_unknown_name_is_refused_with_the_nearest_and_the_presets(spare: Project, target: str):
    for command in ("plan", "run"):
        done = spare.call(command, target)
        assert done.returncode == 2
        assert f"no stage {target}; did you mean {target.replace('rr', 'r')}" in done.stderr
        assert "presets without a stage, which can be asked for too: " in done.stderr
    assert read_yaml(spare.folder / PARAMS)["rl"]["runs"].keys() == {"grpo", "other"}


def test_a_setting_and_a_preset_together(spare: Project):
    done = spare.call("plan", "rl@spare", "-S", "rl.methods.spare.iterations=9", "--json")
    assert [row["stage"] for row in json.loads(done.stdout)["stages"] if row["action"] != "keep"] == [
        "rl@spare"
    ]
    wrong = spare.call("run", "rl@spare", "-S", "rl.methods.spare.iterations=many")
    assert wrong.returncode == 2
    assert "rl.methods.spare.iterations" in wrong.stderr
    assert spare.plan() == {}
    assert {row["stage"] for row in spare.plan_rows()} == ALL


@pytest.mark.parametrize(("model", "data", "length"), [("rlvr_base", "rlvr", 48), ("dpo_safe", "exam", None)])
def test_an_evaluation_asks_what_the_model_learnt_on_as_others_on_that_data_do(
    model: str, data: str, length: int | None
):
    raw = read_yaml(ROOT / PARAMS)
    add(raw, [("evaluate", "runs", model)])
    made = raw["evaluate"]["runs"][model]
    assert (made["model"], made["data"]) == (model, data)
    assert made.get("sampling", {}).get("max_new_tokens") == length
