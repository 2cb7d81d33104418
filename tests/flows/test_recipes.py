"""Recipes lie over params.yaml and come off again; results come back from the run cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.graph import recipes
from flows.graph.params_file import PARAMS, ParamsError, read_yaml
from tests.flows.toy import ROOT, Project, method

SMALL = "# a smaller model\nsft: {steps: 10, optimiser: {learning_rate: 1.0e-3}}\nrl: {common: {epochs: 2}}\n"
CPU = "execution: {threads: 1}\nsft: {steps: 20}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project as far as recipes see one, with params.yaml as `use` formats it."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / PARAMS).write_text((ROOT / PARAMS).read_text())
    (tmp_path / "recipes/small.yaml").write_text(SMALL)
    (tmp_path / "recipes/cpu.yaml").write_text(CPU)
    recipes.use(tmp_path, "small")
    recipes.use(tmp_path, "default")
    return tmp_path


def test_formatting_keeps_comments_and_values(root: Path):
    assert read_yaml(root / PARAMS) == read_yaml(ROOT / PARAMS)
    assert (root / PARAMS).read_text().count("#") == (ROOT / PARAMS).read_text().count("#")


def test_there_and_back_is_byte_for_byte(root: Path):
    before = (root / PARAMS).read_bytes()
    changed = recipes.use(root, "small")
    assert recipes.active(root) == "small"
    assert sorted(changed) == ["rl.common.epochs 1 -> 2", "sft.optimiser.learning_rate 0.003 -> 0.001", "sft.steps 1000 -> 10"]
    assert read_yaml(root / PARAMS)["sft"]["steps"] == 10
    recipes.use(root, "default")
    assert recipes.active(root) == "default"
    assert (root / PARAMS).read_bytes() == before


def test_one_recipe_replaces_another(root: Path):
    recipes.use(root, "small")
    recipes.use(root, "cpu")
    params = read_yaml(root / PARAMS)
    assert (params["sft"]["steps"], params["rl"]["common"]["epochs"]) == (20, 1)
    recipes.use(root, "default")
    assert read_yaml(root / PARAMS) == read_yaml(ROOT / PARAMS)


def test_the_same_recipe_twice_is_once(root: Path):
    recipes.use(root, "small")
    once = (root / PARAMS).read_bytes()
    assert recipes.use(root, "small") == []
    assert (root / PARAMS).read_bytes() == once
    recipes.use(root, "default")
    assert read_yaml(root / PARAMS) == read_yaml(ROOT / PARAMS)


def test_other_edits_survive_going_back(root: Path):
    recipes.use(root, "small")
    text = (root / PARAMS).read_text()
    (root / PARAMS).write_text(text.replace("  seed: 0", "  seed: 7"))
    recipes.use(root, "default")
    params = read_yaml(root / PARAMS)
    assert (params["identity"]["seed"], params["sft"]["steps"]) == (7, 1000)


def test_null_takes_a_key_out_and_a_new_section_goes_away_again(root: Path):
    (root / "recipes/other.yaml").write_text("rl: {methods: [second], second: {epochs: 2}, grpo: null}\nevaluate: {models: [second]}\n")
    before = (root / PARAMS).read_text()
    recipes.use(root, "other")
    assert set(read_yaml(root / PARAMS)["rl"]) == set(read_yaml(ROOT / PARAMS)["rl"]) - {"grpo"} | {"second"}
    recipes.use(root, "default")
    assert read_yaml(root / PARAMS) == read_yaml(ROOT / PARAMS)
    assert (root / PARAMS).read_text().count("#") >= before.count("#") - 8  # comments inside a section that was taken out may go


def test_a_typo_suggests_the_nearest(root: Path):
    with pytest.raises(ParamsError, match=r"recipes/smal\.yaml: no such recipe, did you mean small\?"):
        recipes.use(root, "smal")


def test_a_recipe_that_is_no_yaml_is_named_with_its_line(root: Path):
    (root / "recipes/twice.yaml").write_text("sft:\n  steps: 3\n  steps: 4\n")
    before = (root / PARAMS).read_bytes()
    with pytest.raises(ParamsError, match=r"twice\.yaml:3: not readable as YAML: found duplicate key"):
        recipes.use(root, "twice")
    assert (root / PARAMS).read_bytes() == before


def test_a_recipe_that_does_not_fit_is_refused_whole(root: Path):
    (root / "recipes/wrong.yaml").write_text("sft: {stepps: 3}\nexecution: {jobs: 0}\n")
    before = (root / PARAMS).read_bytes()
    with pytest.raises(ParamsError) as caught:
        recipes.use(root, "wrong")
    assert [line.split(": ")[1] for line in caught.value.problems] == ["execution.jobs", "sft.stepps"]
    assert "recipes/wrong.yaml over params.yaml" in caught.value.problems[0]
    assert (root / PARAMS).read_bytes() == before
    assert recipes.active(root) == "default"


@pytest.mark.parametrize("name", recipes.names(ROOT))
def test_every_recipe_of_the_project_fits_and_comes_off(tmp_path: Path, name: str):
    (tmp_path / "recipes").mkdir()
    (tmp_path / PARAMS).write_text((ROOT / PARAMS).read_text())
    (tmp_path / f"recipes/{name}.yaml").write_text((ROOT / f"recipes/{name}.yaml").read_text())
    assert recipes.use(tmp_path, name)
    recipes.use(tmp_path, "default")
    assert read_yaml(tmp_path / PARAMS) == read_yaml(ROOT / PARAMS)
    recipes.use(tmp_path, name)
    with open(tmp_path / PARAMS, "a") as file:
        file.write("# an edit\n")  # the recipe's keys are taken out one by one then
    recipes.use(tmp_path, "default")
    assert read_yaml(tmp_path / PARAMS) == read_yaml(ROOT / PARAMS)


def test_going_back_restores_results_without_training(graph: Project):
    (graph.folder / "recipes").mkdir(exist_ok=True)
    (graph.folder / "recipes/sharp.yaml").write_text("rl: {other: {max_error_share: 0.1}}\n")
    done = graph.call("use", "sharp")
    assert done.returncode == 0, done.stderr
    assert "rl.other.max_error_share new: 0.1" in done.stdout
    graph.bring()
    assert set(graph.ran()) == method("other")
    assert graph.call("use", "default").returncode == 0
    assert graph.bring() == dict.fromkeys(method("other"), "restore")
    assert graph.ran() == []
