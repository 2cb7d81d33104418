"""`whetstone new`: every layout that is understood gives a recipe of at most 20 lines that the check of
params.yaml accepts, and what is not understood, or would overwrite, is refused with the way out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.graph.params_file import ParamsError, read_yaml
from flows.new.data import NewError
from flows.new.project import Made, new
from pipelines.corpora.layouts import UnknownLayout
from pipelines.models import policy
from tests.flows.new_made import LAYOUTS, NUMBERS, TRUTHS, make_project, write
from tests.tiny import make_tiny_model, make_tiny_tokens


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    before, root = Path.cwd(), make_project(tmp_path_factory.mktemp("new"))
    os.chdir(root)
    yield root
    os.chdir(before)


def made_of(root: Path, name: str, *data: str, **options: Any) -> Made:
    made = new(root, name, options.pop("model", "assets/llm"), list(data), root, **options)
    lines = made.text.splitlines()
    assert len(lines) <= 20
    assert lines[0] == "# yaml-language-server: $schema=../schemas/recipe.schema.json"
    assert (root / made.path).read_text("utf-8") == made.text
    return made


def recipe_of(root: Path, made: Made) -> Any:
    return read_yaml(root / made.path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_a_recipe(root: Path, layout: str):
    stages, rows = LAYOUTS[layout]
    write(root / f"raw/{layout}.jsonl", rows)
    made = made_of(root, layout, f"raw/{layout}.jsonl")
    assert list(made.stages) == [stages]
    (seen,) = made.looks
    assert (seen.rows["kept"], seen.rows["lost"]) == (len(NUMBERS), {})
    assert seen.unit == "tokens"
    assert len(seen.examples) == 3
    learnt = [sum(sequence.mask) for shown in seen.examples for sequence in shown.sequences]
    demonstrated = stages != "grpo" or layout in ("gsm8k", "solution")
    assert all(learnt) if demonstrated else not any(learnt)
    recipe = recipe_of(root, made)
    assert recipe["base"]["runs"]["base"]["pretrained"] == "assets/llm"
    assert ({"sft", "dpo", "rl"} & recipe.keys()) == {{"grpo": "rl"}.get(stages, stages)}


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl.gz"])
def test_tables_in_other_files(root: Path, suffix: str):
    _, rows = LAYOUTS["question_answer"]
    if suffix == "jsonl.gz":
        import gzip

        (root / "raw/zipped.jsonl.gz").write_bytes(
            gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())
        )
        name = "raw/zipped.jsonl.gz"
    else:
        name = str(write(root / f"raw/table.{suffix}", rows).relative_to(root))
    made = made_of(root, f"table_{suffix.replace('.', '_')}", name)
    assert made.looks[0].rows["kept"] == len(rows)


def test_a_saved_data_set_and_its_splits(root: Path):
    from datasets import Dataset, DatasetDict

    _, rows = LAYOUTS["question_answer"]
    DatasetDict(
        {"train": Dataset.from_list(list(rows)[5:]), "test": Dataset.from_list(list(rows)[:5])}
    ).save_to_disk(root / "raw/saved")
    made = made_of(root, "saved", "raw/saved")
    (source,) = recipe_of(root, made)["corpus"]["saved"]["sources"].values()
    assert source == {"reader": "table", "id": "raw/saved", "splits": {"train": "train", "heldout": "test"}}
    assert made.looks[0].files == {"rl": 33, "validation": 2, "heldout": 5}


def test_a_prompt_alone_wants_a_reward(root: Path):
    write(root / "raw/prompts.jsonl", [{"prompt": question} for question, _ in TRUTHS])
    with pytest.raises(NewError, match="nothing says what a good response is; name a function with --reward"):
        new(root, "prompts", "assets/llm", ["raw/prompts.jsonl"], root)
    assert not (root / "recipes/prompts.yaml").exists()


def test_a_reward_of_ones_own_reads_every_column(root: Path, monkeypatch: pytest.MonkeyPatch):
    (root / "rewards.py").write_text(
        "def short(completions, **columns):\n    return [1.0] * len(completions)\n"
    )
    monkeypatch.setattr("pipelines.rewards.own.place.ROOT", root)
    write(root / "raw/asked.jsonl", [{"prompt": question, "level": 1} for question, _ in TRUTHS])
    recipe = recipe_of(root, made_of(root, "asked", "raw/asked.jsonl", reward="rewards.py:short"))
    assert recipe["corpus"]["asked"]["sources"]["asked"] == {
        "reader": "table",
        "splits": {"train": "asked.jsonl"},
        "columns": {"question": "prompt", "answer": None},
        "keep": ["level"],
    }
    assert recipe["rl"]["common"] == recipe["evaluate"]["common"] == {"reward": "rewards.py:short"}
    for reward, told in {
        "rewards.py:long": "has no long",
        "gone.py:short": "there is no file",
        "maths": "or a rule",
    }.items():
        with pytest.raises((NewError, ParamsError), match=told):
            new(root, "asked2", "assets/llm", ["raw/asked.jsonl"], root, reward=reward)
    assert not (root / "recipes/asked2.yaml").exists()


def test_a_file_that_is_called_train_gives_held_out_rows_no_name_that_misleads(root: Path):
    rows = LAYOUTS["question_answer"][1]
    for folder, name in (("plain", "train"), ("shards", "train-00000-of-00002"), ("trainers", "trainers")):
        write(root / f"raw/{folder}/{name}.jsonl", rows[5:])
        write(root / f"raw/{folder}/test.jsonl", rows[:5])
        recipe = recipe_of(root, made_of(root, folder, f"raw/{folder}"))
        assert list(recipe["corpus"][folder]["sources"]) == [folder]


def test_held_out_files_by_their_names_and_a_chain(root: Path):
    write(root / "raw/chain/talks.jsonl", LAYOUTS["messages"][1])
    write(root / "raw/chain/pairs.jsonl", LAYOUTS["preference"][1])
    write(root / "raw/chain/sums.jsonl", LAYOUTS["question_answer"][1][5:])
    write(root / "raw/chain/sums_test.jsonl", LAYOUTS["question_answer"][1][:5])
    made = made_of(root, "chain", "raw/chain")
    recipe = recipe_of(root, made)
    assert list(made.stages) == ["sft", "dpo", "grpo"]
    assert recipe["rl"]["runs"]["grpo"] == {"method": "grpo", "start": "dpo", "data": "chain"}
    assert recipe["corpus"]["chain"]["sources"]["sums"]["splits"] == {
        "train": "sums.jsonl",
        "heldout": "sums_test.jsonl",
    }
    assert recipe["corpus"]["chain"]["reward"] == "math_answer"


def test_other_methods(root: Path):
    write(root / "raw/sums.jsonl", LAYOUTS["solution"][1])
    made = made_of(root, "both", "raw/sums.jsonl", methods=["rloo", "sft"])
    assert list(made.stages) == ["sft", "rloo"]
    write(root / "raw/liked.jsonl", LAYOUTS["preference"][1])
    ipo = recipe_of(root, made_of(root, "ipo", "raw/liked.jsonl", methods=["ipo"]))
    assert ipo["dpo"]["runs"]["ipo"]["loss"] == {"kind": "ipo"}
    with pytest.raises(NewError, match="--method dpo learns from pairs: chosen and rejected"):
        new(root, "wrong", "assets/llm", ["raw/sums.jsonl"], root, methods=["dpo"])
    with pytest.raises(NewError, match="--method gpo: known are sft, "):
        new(root, "wrong", "assets/llm", ["raw/sums.jsonl"], root, methods=["gpo"])


def test_what_is_dropped_is_told(root: Path):
    rows = [*LAYOUTS["question_answer"][1], LAYOUTS["question_answer"][1][0], {"question": "6 + 6?"}]
    write(root / "raw/dropped.jsonl", rows)
    (seen,) = made_of(root, "dropped", "raw/dropped.jsonl").looks
    assert seen.rows["lost"] == {"bad rows": 1, "duplicates exact": 1}
    assert seen.bad == ["raw/dropped.jsonl:42: no column answer"]


def test_rows_of_no_known_layout_are_shown(root: Path):
    write(root / "raw/odd.jsonl", [{"q1": "x" * 100, "score": 3}])
    with pytest.raises(UnknownLayout) as refused:
        new(root, "odd", "assets/llm", ["raw/odd.jsonl"], root)
    told = str(refused.value)
    assert "Its columns: q1, score" in told
    assert "score: 3}" in told
    assert "prompt?, chosen, rejected" in told
    write(root / "raw/steps.jsonl", [{"prompt": "1+1", "completions": ["2"], "labels": [True]}])
    with pytest.raises(UnknownLayout, match="stepwise supervision"):
        new(root, "odd", "assets/llm", ["raw/steps.jsonl"], root)
    write(root / "raw/empty.jsonl", [])
    with pytest.raises(NewError, match="holds no row"):
        new(root, "odd", "assets/llm", ["raw/empty.jsonl"], root)
    assert not (root / "recipes/odd.yaml").exists()


def test_a_recipe_is_never_overwritten(root: Path):
    write(root / "raw/kept.jsonl", LAYOUTS["question_answer"][1])
    (root / "recipes/kept.yaml").write_text("# mine\n", "utf-8")
    with pytest.raises(NewError, match="is there already, and is not overwritten"):
        new(root, "kept", "assets/llm", ["raw/kept.jsonl"], root)
    assert (root / "recipes/kept.yaml").read_text("utf-8") == "# mine\n"


def test_a_recipe_that_is_not_right_is_not_left(root: Path):
    write(root / "raw/left.jsonl", LAYOUTS["question_answer"][1])
    with pytest.raises(ParamsError, match="so this recipe was not written"):
        new(root, "left", "assets/llm", ["raw/left.jsonl"], root, methods=["ppo_reward_model"])
    assert not (root / "recipes/left.yaml").exists()


def test_data_and_models_elsewhere(root: Path, tmp_path: Path):
    outside = write(tmp_path / "far/rows.jsonl", LAYOUTS["question_answer"][1])
    made = made_of(root, "far", str(outside), model=str(root / "assets/llm"))
    recipe = recipe_of(root, made)
    assert recipe["corpus"]["far"]["raw"] == str(outside)
    assert recipe["base"]["runs"]["base"]["pretrained"] == "assets/llm"
    with pytest.raises(NewError, match="no such file or folder, and no id of a hub"):
        new(root, "far2", "assets/nothing/here", [str(outside)], root)
    with pytest.raises(NewError, match=r"--data raw/nothing\.jsonl: no such file or folder"):
        new(root, "far2", "assets/llm", ["raw/nothing.jsonl"], root)
    unseen = made_of(root, "hub", str(outside), model="owner/name")
    assert unseen.model.missing
    assert unseen.looks[0].unit == "characters"
    assert recipe_of(root, unseen)["execution"] == {"offline": False}


def test_a_model_that_was_trained_here_keeps_its_template(root: Path, tmp_path: Path):
    tokens = make_tiny_tokens(tmp_path)
    policy.save(make_tiny_model(tokens), tokens, root / "models/mine/model")
    write(root / "raw/sums_of_mine.jsonl", [{"question": f"{n} + 1", "answer": str(n + 1)} for n in NUMBERS])
    made = made_of(root, "mine", "raw/sums_of_mine.jsonl", model="models/mine/model")
    template = recipe_of(root, made)["base"]["runs"]["base"]["template"]
    assert template == {"prompt": "<|user|>{query}<|assistant|>"}
    assert "was trained with" in made.model.template_shown
