"""Recipes lie over params.yaml and come off again; results come back from the run cache."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from flows.graph import recipes
from flows.graph.params import check
from flows.graph.params_file import PARAMS, ParamsError, load_with_comments, read_yaml, save_with_comments
from flows.graph.references import Graph
from tests.flows.toy import ROOT, Project, method

SMALL = "# a smaller model. It learns little.\nextends: [default]\nsft: {common: {steps: 10, optimiser: {learning_rate: 1.0e-3}}}\nrl: {common: {validation_every: 5}}\n"
CPU = "extends: [default]\nexecution: {threads: 1}\nsft: {common: {steps: 20}}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project as far as recipes see one, with params.yaml as `use` formats it."""
    (tmp_path / "recipes").mkdir()
    for name in (PARAMS, "presets.yaml", "dvc.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
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
    changed = recipes.use(root, "small").changed
    assert recipes.active(root) == "small"
    assert sorted(changed) == [
        "rl.common.validation_every 25 -> 5",
        "sft.common.optimiser.learning_rate 0.003 -> 0.001",
        "sft.common.steps 1000 -> 10",
    ]
    assert read_yaml(root / PARAMS)["sft"]["common"]["steps"] == 10
    recipes.use(root, "default")
    assert recipes.active(root) == "default"
    assert (root / PARAMS).read_bytes() == before


def test_one_recipe_replaces_another(root: Path):
    recipes.use(root, "small")
    recipes.use(root, "cpu")
    params = read_yaml(root / PARAMS)
    assert (params["sft"]["common"]["steps"], params["rl"]["common"]["validation_every"]) == (20, 25)
    recipes.use(root, "default")
    assert read_yaml(root / PARAMS) == read_yaml(ROOT / PARAMS)


def test_the_same_recipe_twice_is_once(root: Path):
    recipes.use(root, "small")
    once = (root / PARAMS).read_bytes()
    assert recipes.use(root, "small").changed == []
    assert (root / PARAMS).read_bytes() == once
    recipes.use(root, "default")
    assert read_yaml(root / PARAMS) == read_yaml(ROOT / PARAMS)


def settings(root: Path) -> list[str]:
    return [str(change) for change in recipes.own(root)]


def edit(root: Path, old: str, new: str) -> None:
    text = (root / PARAMS).read_text()
    assert old in text
    (root / PARAMS).write_text(text.replace(old, new))


def test_settings_of_ones_own_are_kept_aside_and_come_back(root: Path):
    before = (root / PARAMS).read_bytes()
    recipes.use(root, "small")
    assert settings(root) == []
    edit(root, "  seed: 0", "  seed: 7")
    edit(root, "steps: 10", "steps: 11")
    assert settings(root) == ["identity.seed 0 -> 7", "sft.common.steps 10 -> 11"]
    assert recipes.sentence(root, recipes.own(root)) == (
        "recipe small with 2 settings of your own: identity.seed 0 -> 7, sft.common.steps 10 -> 11"
    )
    used = recipes.use(root, "default")
    assert (root / PARAMS).read_bytes() == before  # the default as it is, comments and all
    assert used.aside is not None
    assert [str(change) for change in used.own] == ["identity.seed 0 -> 7", "sft.common.steps 10 -> 11"]
    assert (root / used.aside).exists()
    assert used.aside.as_posix().startswith("recipes/own/small-")
    recipes.use(root, "small", bring=root / used.aside)
    assert settings(root) == ["identity.seed 0 -> 7", "sft.common.steps 10 -> 11"]
    again = recipes.use(root, "cpu")
    assert again.aside not in (None, used.aside)


def test_settings_of_ones_own_are_carried_over(root: Path):
    recipes.use(root, "small")
    edit(root, "  seed: 0", "  seed: 7")
    assert recipes.use(root, "cpu", keep=True).aside is None
    assert settings(root) == ["identity.seed 0 -> 7"]
    assert read_yaml(root / PARAMS)["sft"]["common"]["steps"] == 20
    recipes.use(root, "default", keep=True)
    assert read_yaml(root / PARAMS)["identity"]["seed"] == 7
    assert (root / PARAMS).read_text().count("#") == (ROOT / PARAMS).read_text().count("#")


def test_kinds_of_settings_go_there_and_back(root: Path):
    """A value, a list, a null, a new section, a key that is gone, a value of another type."""
    recipes.use(root, "small")
    document = load_with_comments(root / PARAMS)
    document["sft"]["common"]["steps"] = 12
    document["rl"]["runs"]["grpo"]["method"] = "mine"
    document["rl"]["methods"]["mine"] = {"epochs": 2}
    document["evaluate"]["runs"] = {"sft": {"model": "sft", "data": "exam"}}
    del document["rl"]["common"]["validation_every"]
    save_with_comments(root / PARAMS, document)
    mine = read_yaml(root / PARAMS)
    used = recipes.use(root, "default")
    recipes.use(root, "small", bring=root / (used.aside or ""))
    assert read_yaml(root / PARAMS) == mine


def test_the_committed_default_tells_what_is_ones_own(root: Path):
    edit(root, "  seed: 0", "  seed: 7")
    assert settings(root) == []  # nobody knows another
    edit(root, "  seed: 7", "  seed: 0")
    for words in (
        ("init", "-q"),
        ("add", "-A"),
        ("-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "start"),
    ):
        subprocess.run(["git", "-C", str(root), *words], check=True)
    edit(root, "  seed: 0", "  seed: 7  # a word of mine")
    assert settings(root) == ["identity.seed 0 -> 7"]
    recipes.use(root, "small")
    assert (settings(root), read_yaml(root / PARAMS)["identity"]["seed"]) == ([], 0)
    subprocess.run(["git", "-C", str(root), "add", "-A"], check=True)
    subprocess.run(
        [
            "git",
            "-C",
            str(root),
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@localhost",
            "commit",
            "-qm",
            "recipe",
        ],
        check=True,
    )
    recipes.use(root, "default")
    assert settings(root) == []  # the default below the recipe that was committed


def test_a_recipe_of_an_earlier_version_comes_off(root: Path):
    before = (root / PARAMS).read_text()
    recipes.use(root, "small")
    save_with_comments(
        root / recipes.APPLIED, {"recipe": "small", "replaced": [], "written": "x", "original": before}
    )
    edit(root, "  seed: 0", "  seed: 7")
    assert settings(root) == ["identity.seed 0 -> 7"]
    recipes.use(root, "default")
    assert (root / PARAMS).read_text() == before


def test_a_file_of_settings_that_is_none_is_refused(root: Path):
    before = (root / PARAMS).read_bytes()
    for text in (
        "sft: {common: {steps: 3}}",
        "- 3",
        "- {key: sft}",
        "- {now: 3}",
        "[",
        "- {key: [sft, common, stepps], now: 3}",
    ):
        (root / "mine.yaml").write_text(text)
        with pytest.raises(ParamsError):
            recipes.use(root, "small", bring=root / "mine.yaml")
        assert (root / PARAMS).read_bytes() == before
        assert recipes.active(root) == "default"
    with pytest.raises(ParamsError, match="not found"):
        recipes.use(root, "small", bring=root / "nowhere.yaml")


def test_null_takes_a_key_out_and_a_new_section_goes_away_again(root: Path):
    (root / "recipes/other.yaml").write_text(
        "extends: [default]\nrl: {methods: {second: {epochs: 2}}, runs: {second: {method: second, start: sft, data: exam}, grpo: null}}\nevaluate: {runs: {second: {model: second, data: exam}, grpo: null}}\n"
    )
    before = (root / PARAMS).read_text()
    recipes.use(root, "other")
    runs = set(read_yaml(ROOT / PARAMS)["rl"]["runs"])
    assert set(read_yaml(root / PARAMS)["rl"]["runs"]) == runs - {"grpo"} | {"second"}
    assert read_yaml(root / PARAMS)["rl"]["methods"]["second"] == {"epochs": 2}
    recipes.use(root, "default")
    assert read_yaml(root / PARAMS) == read_yaml(ROOT / PARAMS)
    # comments inside a section that was taken out may go
    assert (root / PARAMS).read_text().count("#") >= before.count("#") - 8


def test_a_typo_suggests_the_nearest(root: Path):
    with pytest.raises(ParamsError, match=r"recipes/smal\.yaml: no such recipe; did you mean small\?"):
        recipes.use(root, "smal")


def test_a_recipe_that_is_no_yaml_is_named_with_its_line(root: Path):
    (root / "recipes/twice.yaml").write_text("sft:\n  steps: 3\n  steps: 4\n")
    before = (root / PARAMS).read_bytes()
    with pytest.raises(ParamsError, match=r"twice\.yaml:3: not readable as YAML: found duplicate key"):
        recipes.use(root, "twice")
    assert (root / PARAMS).read_bytes() == before


def test_a_recipe_that_does_not_fit_is_refused_whole(root: Path):
    (root / "recipes/wrong.yaml").write_text(
        "extends: [default]\nsft: {common: {stepps: 3}}\nexecution: {jobs: 0}\n"
    )
    before = (root / PARAMS).read_bytes()
    with pytest.raises(ParamsError) as caught:
        recipes.use(root, "wrong")
    assert [line.split(": ")[1] for line in caught.value.problems] == [
        "execution.jobs",
        "sft.common.stepps",
    ]
    assert "recipes/wrong.yaml: " in caught.value.problems[0]
    assert (root / PARAMS).read_bytes() == before
    assert recipes.active(root) == "default"


@pytest.mark.parametrize("name", recipes.names(ROOT))
def test_every_recipe_of_the_project_fits_and_comes_off(tmp_path: Path, name: str):
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes", ignore=shutil.ignore_patterns(".*", "own"))
    for file in (PARAMS, "presets.yaml", "dvc.yaml"):
        (tmp_path / file).write_text((ROOT / file).read_text())
    assert recipes.use(tmp_path, name).changed
    recipes.use(tmp_path, "default")
    assert read_yaml(tmp_path / PARAMS) == read_yaml(ROOT / PARAMS)
    recipes.use(tmp_path, name)
    with open(tmp_path / PARAMS, "a") as file:
        file.write("# an edit\n")  # the recipe's keys are taken out one by one then
    recipes.use(tmp_path, "default")
    assert read_yaml(tmp_path / PARAMS) == read_yaml(ROOT / PARAMS)


def test_going_back_restores_results_without_training(graph: Project):
    (graph.folder / "recipes").mkdir(exist_ok=True)
    (graph.folder / "recipes/sharp.yaml").write_text(
        "extends: [default]\nrl: {methods: {other: {max_error_share: 0.1}}}\n"
    )
    done = graph.call("use", "sharp")
    assert done.returncode == 0, done.stderr
    assert "rl.methods.other.max_error_share new: 0.1" in done.stdout
    graph.bring()
    assert set(graph.ran()) == method("other")
    assert graph.call("use", "default").returncode == 0
    assert graph.bring() == dict.fromkeys(method("other"), "restore")
    assert graph.ran() == []


MINE = "# One method on questions of my own: see.\n" + yaml.safe_dump(
    {
        "base": {"runs": {"own": {"data": "mine"}}},
        "sft": {"runs": {"tuned": {"start": "own", "data": "mine"}}},
        "corpus": {"mine": read_yaml(ROOT / PARAMS)["corpus"]["exam"]},
        "rl": {"runs": {"one": {"method": "grpo", "start": "tuned", "data": "mine", "judge": "none"}}},
    }
)


def stages(root: Path) -> set[str]:
    return {stage.name for stage in Graph(read_yaml(root / PARAMS), root).stages}


def test_a_recipe_starts_from_nothing_with_identity_and_execution(root: Path):
    (root / "recipes/mine.yaml").write_text(MINE)
    before = (root / PARAMS).read_bytes()
    recipes.use(root, "mine")
    assert stages(root) == {"code", "corpus@mine", "base@own", "sft@tuned", "rl@one", "report"}
    params, default = read_yaml(root / PARAMS), read_yaml(ROOT / PARAMS)
    assert all(params[section] == default[section] for section in ("identity", "execution"))
    assert [params[section] for section in ("dpo", "evaluate", "assess")] == [
        {"runs": {}},
        {"runs": {}},
        {"models": {}},
    ]
    assert not {"rl", "sft"} & {section for section in params if "common" in (params[section] or {})}
    recipes.use(root, "default")
    assert (root / PARAMS).read_bytes() == before


def test_an_alias_is_a_value_of_its_own_once_another_recipe_lies_over_it(root: Path):
    (root / "recipes/sizes.yaml").write_text(
        "extends: [default]\nrl: {methods: {one: &few {prompts: 4, credit: {kind: group}}, two: *few}}\n"
    )
    (root / "recipes/over.yaml").write_text(
        "extends: [sizes]\nrl: {methods: {two: {prompts: 8, credit: {spread: none}}}}\n"
    )
    recipes.use(root, "over")
    found = read_yaml(root / PARAMS)["rl"]["methods"]
    assert found["one"] == {"prompts": 4, "credit": {"kind": "group"}}
    assert found["two"] == {"prompts": 8, "credit": {"kind": "group", "spread": "none"}}


def test_a_run_of_the_default_comes_as_it_is_there(root: Path):
    """`model: sft` alone brings what the default's runs share where the recipe says nothing of the section,
    and writes it into the run where the recipe has runs of its own.
    """
    (root / "recipes/asked.yaml").write_text("evaluate: {runs: {sft: {model: sft, data: exam}}}\n")
    (root / "recipes/beside.yaml").write_text(
        "sft: {common: {epochs: 3}, runs: {mine: {start: base, data: exam}}}\n"
        "evaluate: {runs: {sft: {model: sft, data: exam}, mine: {model: mine, data: exam}}}\n"
    )
    default = check(read_yaml(ROOT / PARAMS), PARAMS, ROOT)
    recipes.use(root, "asked")
    assert read_yaml(root / PARAMS)["sft"]["common"] == read_yaml(ROOT / PARAMS)["sft"]["common"]
    alone = check(read_yaml(root / PARAMS), PARAMS, root)
    recipes.use(root, "beside")
    assert read_yaml(root / PARAMS)["sft"]["common"] == {"epochs": 3}
    beside = check(read_yaml(root / PARAMS), PARAMS, root)
    for params in (alone, beside):
        for key in ("sft.runs.sft", "base.runs.base", "corpus.exam"):
            assert params.section(key) == default.section(key)
    mine = beside.section("sft.runs.mine")
    assert (mine.epochs, mine.steps, mine.optimiser.learning_rate) == (3, None, 1e-5)


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({"sft": {"common": {"batch_size": 8, "validation_every": 50}}}, "sft.runs.sft"),
        ({"base": {"common": {"architecture": {"hidden_size": 48}}}}, "base.runs.base"),
        ({"rl": {"common": {"iterations": 3, "objective": {"kind": "clip_cov"}}}}, "rl.runs.grpo"),
        ({"rl": {"methods": {"ppo": {"whitening": {"how": "none"}}}}}, "rl.runs.ppo"),
        ({"rl": {"common": {"reward": "math_answer"}}}, "rl.runs.grpo"),
    ],
)
def test_what_a_recipe_shares_does_not_reach_a_run_of_the_default(root: Path, said: dict, place: str):
    default = check(read_yaml(ROOT / PARAMS), PARAMS, ROOT)
    runs = {name: {"model": name, "data": "exam"} for name in ("grpo", "ppo", "sft")}
    (root / "recipes/beside.yaml").write_text(yaml.safe_dump({"evaluate": {"runs": runs}, **said}))
    recipes.use(root, "beside")
    assert check(read_yaml(root / PARAMS), PARAMS, root).section(place) == default.section(place)


def test_options_of_a_choice_by_its_bare_name_keep_it_between_recipes(root: Path):
    run = {"g": {"method": "grpo", "start": "sft", "data": "exam"}}
    (root / "recipes/below.yaml").write_text(
        yaml.safe_dump({"rl": {"common": {"objective": "clip_cov"}, "runs": run}})
    )
    (root / "recipes/above.yaml").write_text(
        yaml.safe_dump({"extends": ["below"], "rl": {"common": {"objective": {"low": 0.3}}}})
    )
    recipes.use(root, "above")
    objective = check(read_yaml(root / PARAMS), PARAMS, root).section("rl.runs.g").objective
    assert (objective.kind, objective.low) == ("clip_cov", 0.3)


@pytest.mark.parametrize("value", ["accuracy", [1]])
@pytest.mark.parametrize("section", ["evaluate", "sft", "assess", "corpus"])
def test_a_section_that_is_no_mapping_is_refused(root: Path, section: str, value: object):
    (root / "recipes/odd.yaml").write_text(yaml.safe_dump({"extends": ["default"], section: value}))
    with pytest.raises(ParamsError, match=section):
        recipes.use(root, "odd")


def test_recipes_compose(root: Path):
    (root / "recipes/mine.yaml").write_text(MINE)
    (root / "recipes/pairs.yaml").write_text(
        "preferences: {likes: {origin: raw/likes, data: mine, source: {kind: trl, splits: {train: a.jsonl}}}}\n"
        "dpo: {runs: {dpo: {start: one, data: likes}}}\n"
    )
    (root / "recipes/both.yaml").write_text("extends: [mine, pairs]\nsft: {common: {steps: 7}}\n")
    recipes.use(root, "mine+pairs")
    assert recipes.active(root) == "mine+pairs"
    assert stages(root) > {"rl@one", "preferences@likes", "dpo@dpo", "reference@dpo"}
    assert recipes.use(root, "both").changed == ["sft.common new: (1 settings)"]
    assert recipes.chain(root, "both+small") == ["mine", "pairs", "both", "default", "small"]
    recipes.use(root, "small+mine")
    assert stages(root) > {"rl@one", "rl@grpo"}
    assert read_yaml(root / PARAMS)["sft"]["common"]["steps"] == 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("extends: [smal]\n", "recipes/smal.yaml: no such recipe, which odd extends; did you mean small?"),
        ("extends: [odd]\n", "recipes/odd.yaml: extends itself, through odd"),
        ("extends: [other]\n", "recipes/odd.yaml: extends itself, through odd, other"),
        ("extends: small\n", "recipes/odd.yaml: extends: a list of recipes is expected, such as [default]"),
        ("extends: [3]\n", "recipes/odd.yaml: extends: a list of recipes is expected"),
        (
            "rl: {runs: {a: {method: grpo, start: sft, data: exams}}}\n",
            "'exams' is made by no stage; nearest: exam",
        ),
    ],
)
def test_a_recipe_that_cannot_be_laid_is_refused_and_nothing_is_written(root: Path, text: str, said: str):
    (root / "recipes/odd.yaml").write_text(text)
    (root / "recipes/other.yaml").write_text("extends: [odd]\n")
    before = (root / PARAMS).read_bytes()
    for call in (recipes.use, recipes.show):
        with pytest.raises(ParamsError) as caught:
            call(root, "odd")
        assert said in str(caught.value)
    assert (root / PARAMS).read_bytes() == before


def test_show_and_the_list(root: Path):
    (root / "recipes/mine.yaml").write_text(MINE)
    before = (root / PARAMS).read_bytes()
    shown = recipes.show(root, "mine")
    assert (root / PARAMS).read_bytes() == before
    recipes.use(root, "mine")
    assert (root / PARAMS).read_text() == shown
    assert recipes.about(root)["small"] == "a smaller model."
    assert recipes.about(root)["mine"] == "One method on questions of my own: see."


def test_the_command_lists_and_shows(graph: Project):
    (graph.folder / "recipes").mkdir(exist_ok=True)
    (graph.folder / "recipes/sharp.yaml").write_text(
        "# Sharper. And so on.\nextends: [default]\nrl: {methods: {other: {max_error_share: 0.1}}}\n"
    )
    listed = graph.call("use")
    assert listed.returncode == 0
    assert "* default" in listed.stdout
    assert "  sharp    Sharper." in listed.stdout
    assert json.loads(graph.call("use", "--json").stdout)["recipes"]["sharp"] == "Sharper."
    shown = graph.call("use", "sharp", "--show")
    assert yaml.safe_load(shown.stdout)["rl"]["methods"]["other"]["max_error_share"] == 0.1
    assert graph.plan() == {}
    wrong = graph.call("use", "sharpp", "--show")
    assert wrong.returncode == 2
    assert "did you mean sharp?" in wrong.stderr


def test_the_plan_begins_with_a_recipe_that_was_edited(graph: Project):
    (graph.folder / "recipes").mkdir(exist_ok=True)
    path = graph.folder / "recipes/edited.yaml"
    path.write_text("extends: [default]\nexecution: {threads: 1}\n")
    assert graph.call("use", "edited").returncode == 0
    path.write_text("extends: [default]\nexecution: {threads: 2}\n")
    said = "recipes/edited.yaml changed since `whetstone use edited`; use it again"
    assert said in " ".join(graph.call("plan").stdout.split())
    assert json.loads(graph.call("status", "--json").stdout)["edited"] == ["recipes/edited.yaml"]
    assert graph.call("use", "default").returncode == 0


def test_a_recipe_that_empties_the_graph_does_not_fill_the_screen(graph: Project):
    (graph.folder / "recipes").mkdir(exist_ok=True)
    shares = "".join(f"  m{number}: {{max_error_share: 0.{number}}}\n" for number in range(10, 30))
    (graph.folder / "recipes/many.yaml").write_text(f"extends: [default]\nrl:\n methods:\n{shares}")
    done = graph.call("use", "many")
    assert done.returncode == 0, done.stderr
    assert "  … and 8 more (--json has all)\n" in done.stdout
    assert len([line for line in done.stdout.splitlines() if " new: " in line]) == 12
    assert len(json.loads(graph.call("use", "default", "--json").stdout)["changed"]) == 20


def test_what_a_recipe_only_refers_to_comes_from_the_default(root: Path):
    """With all that it is made of, and nothing else; what the recipe says itself stays its own."""
    run = "rl: {runs: {one: {method: grpo, start: sft, data: exam}}}\n"
    (root / "recipes/one.yaml").write_text(run)
    (root / "recipes/two.yaml").write_text("sft: {runs: {sft: {start: base, data: exam, steps: 7}}}\n" + run)
    for name, supplied in (("one", ["sft.runs.sft"]), ("two", [])):
        used = recipes.use(root, name)
        assert sorted(used.supplied) == sorted(["corpus.exam", "base.runs.base", *supplied])
        assert stages(root) == {
            "code",
            "corpus@exam",
            "base@base",
            "sft@sft",
            "rl@one",
            "report",
        }
    assert read_yaml(root / PARAMS)["sft"]["runs"]["sft"]["steps"] == 7
    (root / "recipes/out.yaml").write_text("extends: [default]\nsft: {runs: {sft: null}}\n")
    with pytest.raises(ParamsError, match="'sft' is made by no stage"):
        recipes.use(root, "out")


def test_what_comes_from_the_default_is_said_with_what_names_it(root: Path):
    (root / "recipes/one.yaml").write_text("rl: {runs: {one: {method: grpo, start: sft, data: exam}}}\n")
    used = recipes.use(root, "one")
    assert used.supplied["sft.runs.sft"] == "rl.runs.one.start"
    assert used.shared == ["sft.common", "base.common"]
    assert used.as_json()["supplied"] == list(used.supplied)


@pytest.mark.parametrize("own", [False, True])
def test_the_gate_of_the_default_reaches_no_verifier_of_the_recipes_own(root: Path, own: bool):
    """It comes with the default's verifier, and is said; beside verifiers of one's own it stays away."""
    run = {"mine": {"method": "rloo_verifier", "start": "sft", "data": "rlvr", "judge": "verifier"}}
    run["mine"] |= {"reward": {"kind": "verifier"}, "checker": "phrase_answer"}
    recipe = {"rl": {"runs": run}}
    if own:
        recipe["verifier"] = {"runs": {"own": {"start": "rlvr_start", "data": "explored"}}}
    (root / "recipes/judged.yaml").write_text(yaml.safe_dump(recipe))
    used = recipes.use(root, "judged")
    gate = check(read_yaml(root / PARAMS), PARAMS, root).section("verifier_report").laboratory.gate
    assert "verifier.runs.verifier" in used.supplied
    assert ("verifier_report" in used.shared) is not own
    assert gate.max_attack == (0.01 if own else 1.0)


def test_an_edit_of_the_recipe_is_seen_until_it_is_used_again(root: Path):
    recipes.use(root, "small+cpu")
    assert recipes.edited_since(root) == []
    path = root / "recipes/small.yaml"
    path.write_text("# another word\n" + SMALL)
    assert recipes.edited_since(root) == []  # its values are what they were
    path.write_text(SMALL.replace("steps: 10", "steps: 11"))
    assert recipes.edited_since(root) == ["recipes/small.yaml"]
    (root / "recipes/cpu.yaml").unlink()
    assert recipes.edited_since(root) == ["recipes/small.yaml", "recipes/cpu.yaml"]
    (root / "recipes/cpu.yaml").write_text(CPU)
    recipes.use(root, "small+cpu")
    assert recipes.edited_since(root) == []
    recipes.use(root, "default")
    assert recipes.edited_since(root) == []


def test_the_default_comes_back_without_the_note_of_the_recipe(root: Path):
    before = (root / PARAMS).read_text()
    (root / "recipes/one.yaml").write_text("rl: {runs: {one: {method: grpo, start: sft, data: exam}}}\n")
    recipes.use(root, "one")
    (root / recipes.APPLIED).unlink()
    with pytest.raises(
        ParamsError, match=r"recipes/\.applied\.yaml: not found, and params\.yaml is a recipe's"
    ):
        recipes.use(root, "default")
    assert "The recipe one" in (root / PARAMS).read_text()
    (root / recipes.REMEMBERED).parent.mkdir()
    (root / recipes.REMEMBERED).write_text(before)
    recipes.use(root, "default")
    assert (root / PARAMS).read_text() == before


def test_data_is_bound_to_no_tokenizer(root: Path):
    """A model may learn from any set: its own tokenizer reads the text."""
    text = """extends: [default]
sft: {runs: {a: {start: rlvr_start, data: exam}}}
rl: {runs: {b: {method: rloo_verifier, start: sft, data: rlvr, reward: phrase_answer}}}
"""
    (root / "recipes/mixed.yaml").write_text(text)
    assert recipes.use(root, "mixed")


@pytest.mark.parametrize("section", ["rl", "evaluate"])
def test_preferences_are_no_questions(root: Path, section: str):
    text = {
        "rl": "{method: grpo, start: sft, data: exam_pairs}",
        "evaluate": "{model: sft, data: exam_pairs}",
    }
    (root / "recipes/asked.yaml").write_text(
        f"extends: [default]\n{section}: {{runs: {{a: {text[section]}}}}}\n"
    )
    with pytest.raises(
        ParamsError, match=f"{section}.runs.a.data: 'exam_pairs' holds no questions; nearest: exam"
    ):
        recipes.use(root, "asked")
