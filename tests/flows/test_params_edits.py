"""Edits of params.yaml from the command line, and what `plan` and `run` refuse before anything is computed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

import whetstone
from flows.graph import recipes
from flows.graph.params import check
from flows.graph.params_file import (
    PARAMS,
    ParamsError,
    load_with_comments,
    read_yaml,
    save_with_comments,
    set_value,
)
from flows.graph.plan import UnknownStage
from tests.flows.params_checked import problems
from tests.flows.toy import ROOT, Project

LIKES = {"origin": "raw/mine", "data": "exam", "source": {"kind": "trl", "splits": {"train": "a.jsonl"}}}
EXPLORE = {"kind": "explore", "policy": {"reward": "final_answer"}, "variants": 2}


def test_a_pretrained_folder_that_is_missing_is_told_by_the_plan(graph: Project):
    overlay = ["base.common.architecture=null", "base.common.pretrained=assets/nobody"]
    own = ["base.runs.base.tokenizer=null", "base.runs.base.data=none"]
    own += ["base.runs.rlvr_base.tokenizer=null", "base.runs.rlvr_base.data=none"]
    arguments = [word for setting in (*overlay, *own) for word in ("-S", setting)]
    done = graph.call("plan", "base", *arguments, HF_HOME=str(graph.folder / "hf"))
    said = " ".join(done.stdout.split())
    assert (
        "assets/nobody (revision main) is no folder here, and as a Hugging Face id it is not at hand" in said
    )
    assert "set execution.offline to false" in said


def test_a_setting_of_one_alias_leaves_the_other(tmp_path: Path):
    path = tmp_path / PARAMS
    path.write_text("sft:\n  runs:\n    a: {optimiser: &o {learning_rate: 0.001}}\n    b: {optimiser: *o}\n")
    document = load_with_comments(path)
    set_value(document, "sft.runs.b.optimiser.learning_rate", "0.5")
    save_with_comments(path, document)
    runs = read_yaml(path)["sft"]["runs"]
    assert [run["optimiser"]["learning_rate"] for run in runs.values()] == [0.001, 0.5]


def test_an_edit_keeps_comments_order_and_every_other_value(tmp_path: Path):
    path = tmp_path / PARAMS
    path.write_text((ROOT / PARAMS).read_text())
    before, comments = read_yaml(path), (ROOT / PARAMS).read_text().count("#")
    document = load_with_comments(path)
    set_value(document, "rl.common.optimiser.learning_rate", "1e-4")
    set_value(document, "rl.methods.grpo.optimiser.betas", "[0.9, 0.99]")  # of this method alone
    save_with_comments(path, document)
    assert path.read_text().count("#") == comments
    after = read_yaml(path)
    assert after["rl"]["common"]["optimiser"].pop("learning_rate") == 1e-4
    before["rl"]["common"]["optimiser"].pop("learning_rate")
    assert after["rl"]["methods"].pop("grpo") == {"optimiser": {"betas": [0.9, 0.99]}}
    assert after == before
    assert list(after) == list(before)


def test_plan_with_a_setting_says_what_it_would_mean_and_changes_nothing(graph: Project):
    before = {name: (graph.folder / name).read_bytes() for name in (PARAMS, "code.lock.json", "dvc.lock")}
    done = graph.call("plan", "-S", "sft.common.steps=999", "--json")
    assert done.returncode == 0, done.stderr
    assert "param sft.runs.sft.steps 1000 -> 999" in done.stdout
    assert (
        "code pipelines.objectives.plain is new"
        in graph.call("plan", "-S", "rl.methods.grpo.objective=plain").stdout
    )
    assert {name: (graph.folder / name).read_bytes() for name in before} == before
    assert graph.plan() == {}


def test_run_with_a_setting_writes_it(graph: Project):
    assert graph.call("run", "corpus", "-S", "sft.common.steps=999").returncode == 0
    assert read_yaml(graph.folder / PARAMS)["sft"]["common"]["steps"] == 999
    assert graph.reasons("sft@sft") == ["param sft.runs.sft.steps 1000 -> 999"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [("sft.common.stepps=9", "stepps: unknown, did you mean steps?"), ("sft.common.steps=many", "sft.common.steps"), ("sft.common.steps", "KEY=VALUE is expected"), ("sfft.steps=9", "there is no section sfft")],
)  # fmt: skip
def test_a_wrong_setting_changes_nothing_and_is_bad_usage(graph: Project, setting: str, said: str):
    before = (graph.folder / PARAMS).read_text()
    done = graph.call("plan", "-S", setting)
    assert done.returncode == 2
    assert said in done.stderr
    assert (graph.folder / PARAMS).read_text() == before


def test_run_and_plan_refuse_a_wrong_file_before_anything_is_computed(graph: Project):
    graph.set("rl.methods.grpo.iteratons", 3)
    graph.set("execution.jobs", 0)
    for command in ("plan", "run"):
        done = graph.call(command)
        assert done.returncode == 2
        assert "params.yaml: rl.methods.grpo.iteratons: unknown, did you mean iterations?" in done.stderr
        assert "params.yaml: execution.jobs" in done.stderr
    assert graph.ran() == []


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ({"train": "a.jsonl", "heldout": "b.jsonl"}, "splits.heldout: raw/mine/b.jsonl is missing; raw/mine holds a.jsonl"),
        ({"train": "a.jsonl"}, "evaluate.runs.llm.data: no source has rows for heldout: the roles named are train"),
        ({"heldout": "a.jsonl"}, "rl.runs.llm_rl.data: no source has rows for rl: the roles named are heldout"),
        ({"rl": "a.jsonl", "heldout": "a.jsonl"}, "sft.runs.tuned.data: no source has rows for sft"),
    ],
)  # fmt: skip
def test_files_and_rows_that_a_set_lacks_are_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: dict[str, str], said: str
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw/mine").mkdir(parents=True)
    (tmp_path / "raw/mine/a.jsonl").write_text("")
    for name in ("dvc.yaml", "presets.yaml", PARAMS):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "recipes").mkdir()
    mine = {
        "corpus": {"mine": {"raw": "raw/mine", "sources": {"own": {"reader": "table", "splits": sources}}}},
        "base": {"runs": {"llm": {"pretrained": "assets/llm"}}},
        "sft": {"runs": {"tuned": {"start": "llm", "data": "mine"}}},
        "rl": {"runs": {"llm_rl": {"method": "grpo", "start": "llm", "data": "mine"}}},
        "evaluate": {"runs": {"llm": {"model": "llm", "data": "mine"}}},
    }
    (tmp_path / "recipes/mine.yaml").write_text(yaml.safe_dump(mine))
    with pytest.raises(ParamsError) as caught:
        recipes.use(tmp_path, "mine")
    assert any(said in line for line in caught.value.problems)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"preferences.likes.source.splits": {"train": ["a.jsonl", "b.jsonl"]}}, "preferences.likes.source.splits.train: raw/mine/b.jsonl is missing; raw/mine holds a.jsonl"),
        ({"preferences.likes.source": {"kind": "sampled", "file": "b.jsonl"}}, "preferences.likes.source.file: raw/mine/b.jsonl is missing"),
        ({"preferences.likes.source.splits": {"heldout": "a.jsonl"}}, "preferences.likes.source.splits: no split is named train"),
        ({"preferences.likes.origin": "raw/mine/a.jsonl", "preferences.likes.source.splits": {"train": "b.jsonl"}}, "preferences.likes.origin: raw/mine/a.jsonl is a file, and source.splits.train names b.jsonl: write origin: raw/mine"),
        ({"corpus.mine": {"raw": "raw/mine/a.jsonl", "sources": {"own": {"reader": "table", "splits": {"train": "b.jsonl"}}}}}, "corpus.mine.raw: raw/mine/a.jsonl is a file, and sources.own.splits.train names b.jsonl: write raw: raw/mine, the folder, or name a.jsonl there"),
        ({"corpus.exam.sources": {"own": {"reader": "table", "splits": {"heldout": "a.jsonl"}}}}, "preferences.exam_pairs.data: no source has rows for rl"),
        ({"corpus.exam.sources": {"own": {"reader": "table", "splits": {"rl": "a.jsonl"}}}}, "assess.models.dpo.prompts: no source has rows for heldout"),
        ({"assess.graders.checker": "math_answer"}, "assess.models.dpo.prompts: corpus.exam.reward is final_answer, and assess.graders.checker is math_answer"),
        ({"preferences.likes.validation_share": 0.0, "dpo.runs.mine": {"start": "sft", "data": "likes"}}, "dpo.runs.mine.validation_every: likes has no validation pairs"),
        ({"preferences.likes.validation_share": 0.0, "reward_model.runs.mine": {"start": "sft", "data": "likes"}}, "reward_model.runs.mine.validation_every: likes has no validation pairs"),
        ({"reward_model.runs.mine": {"start": "sft", "data": "round_1"}}, "reward_model.runs.mine.data: round_1 has no held-out pairs"),
        ({"judgements.mine": {"origin": "models/sft/model", "data": "exam", "source": EXPLORE}}, "judgements.mine.data: corpus.exam puts no questions aside to explore"),
        ({"judgements.mine": {"origin": "models/sft/model", "data": "exam", "source": EXPLORE}}, "judgements.mine.source.variants: corpus.exam has no variants of answers"),
        ({"judgements.mine": {"origin": "raw/mine", "data": "exam", "source": {"kind": "published"}}}, "judgements.mine.origin: raw/mine is a folder"),
    ],
)  # fmt: skip
def test_what_sets_of_pairs_and_judgements_lack_is_told_before_anything_runs(
    raw: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    said: str,
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw/mine").mkdir(parents=True)
    (tmp_path / "raw/mine/a.jsonl").write_text("")
    raw["preferences"]["likes"] = copy.deepcopy(LIKES)
    for key, value in changes.items():
        *above, last = key.split(".")
        holder = raw
        for part in above:
            holder = holder[part]
        holder[last] = copy.deepcopy(value)
    assert [line for line in problems(raw) if line.startswith(f"params.yaml: {said}")], problems(raw)


def test_a_set_that_names_its_one_file_as_origin_and_rows_of_unknown_sides_are_let_pass(
    raw: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text("")
    raw["preferences"] |= {
        "likes": copy.deepcopy(LIKES) | {"origin": "a.jsonl", "heldout_share": 0.1},
        "judged": {"origin": "a.jsonl", "data": "exam", "source": {"kind": "sampled", "file": "a.jsonl"}},
        "absent": copy.deepcopy(LIKES) | {"origin": "raw/nobody"},  # DVC may bring it; the plan tells it
    }
    for name in ("likes", "judged"):
        raw["reward_model"]["runs"][f"on_{name}"] = {"start": "sft", "data": name}
    check(raw)


def test_the_api_takes_one_target_as_a_text_too():
    with pytest.raises(UnknownStage, match="no stage nope@x"):
        whetstone.plan("nope@x", root=ROOT)
