"""`whetstone new --minutes`: sizes that fit the time, and the ten-minute path by a stop watch."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.graph.params_file import read_yaml
from flows.new import budget
from flows.new.data import NewError
from flows.new.project import Made, new
from tests import clone
from tests.flows.new_made import LAYOUTS, make_project, write
from tests.flows.test_chats import write_hub

MINUTE = 6e7  # operations: the tiny model makes 1e3 forward passes of a token in one minute


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    before, root = Path.cwd(), make_project(tmp_path_factory.mktemp("minutes"))
    os.chdir(root)
    for layout in ("question_answer", "solution", "prompt_completion", "preference"):
        write(root / f"raw/{layout}.jsonl", LAYOUTS[layout][1])
    yield root
    os.chdir(before)


def made(root: Path, monkeypatch: Any, layout: str, minutes: float, speed: float, **options: Any) -> Made:
    monkeypatch.setattr(budget, "flops_per_second", lambda model, placement: (speed, "measured: a test"))
    name = f"m{len(list((root / 'recipes').iterdir()))}"
    return new(root, name, "assets/llm", [f"raw/{layout}.jsonl"], root, minutes=minutes, **options)


def runs(root: Path, recipe: Made, family: str) -> dict[str, Any]:
    return dict(next(iter(read_yaml(root / recipe.path)[family]["runs"].values())))


def test_a_fast_machine_keeps_the_usual_sizes(root: Path, monkeypatch):
    for layout, family in (("question_answer", "rl"), ("prompt_completion", "sft"), ("preference", "dpo")):
        recipe = made(root, monkeypatch, layout, 10, 1e15)
        assert not {"iterations", "steps", "adapter"} & runs(root, recipe, family).keys()
        assert "--minutes 10`" in recipe.text
        assert recipe.sized == "sized for 10 minutes on this machine; measured: a test"


def test_a_slow_one_takes_fewer_and_shorter(root: Path, monkeypatch):
    recipe = made(root, monkeypatch, "question_answer", 10, 1e7)
    run = runs(root, recipe, "rl")
    assert (run["prompts"], run["sampling"]) == (8, {"max_new_tokens": 32})
    assert 2 <= run["iterations"] < 100
    evaluated = read_yaml(root / recipe.path)["evaluate"]["common"]
    assert evaluated["sampling"] == run["sampling"]  # what is measured is what was trained
    assert len(recipe.text.splitlines()) <= 20
    run = runs(root, made(root, monkeypatch, "preference", 1, 1e5), "dpo")
    assert (run["steps"], run["batch_size"]) == (2, 16)


def test_the_reference_reads_no_more_pairs_than_are_trained_on(root: Path, monkeypatch):
    recipe = made(root, monkeypatch, "preference", 1, 1e5)
    (pairs,) = read_yaml(root / recipe.path)["preferences"].values()
    assert pairs["limits"] == {"train": 32}


@settings(max_examples=5, deadline=None)
@given(st.floats(3, 12), st.floats(1, 10))
def test_more_time_is_never_less_work(root: Path, magnitude: float, more: float):
    with pytest.MonkeyPatch.context() as patch:
        less, much = (
            runs(root, made(root, patch, "question_answer", 10 * times, 10**magnitude), "rl")
            for times in (1, more)
        )

    def work(run: dict[str, Any]) -> float:
        tokens = run.get("sampling", {}).get("max_new_tokens", 512)
        return run.get("iterations", 100) * run.get("prompts", 64) * tokens

    assert work(much) >= 0.8 * work(less)  # a rung higher takes fewer iterations of more


def test_a_model_that_is_not_at_hand_cannot_be_sized(root: Path):
    with pytest.raises(NewError, match="--minutes: the model's shape cannot be read"):
        new(root, "away", "nobody/no-such-model", ["raw/solution.jsonl"], root, minutes=5)
    assert not (root / "recipes/away.yaml").exists()


def test_ten_minutes_by_a_stop_watch(tmp_path: Path):
    """What the first tutorial does, as commands in a clone: model, rows and reward of one's own to an evaluated
    checkpoint that can be audited."""
    began = time.monotonic()
    project = clone.make(tmp_path / "project")
    (project.folder / "params.yaml").write_text((clone.ROOT / "params.yaml").read_text("utf-8"), "utf-8")
    write_hub(project.folder / "assets/llm")
    rows = [
        {"question": f"{a} pens at {b} each cost", "answer": str(a * b)}
        for a in range(2, 12)
        for b in range(2, 12)
    ]
    write(project.folder / "raw/pens/train.jsonl", rows[::2])
    write(project.folder / "raw/pens/test.jsonl", rows[1::2][:20])
    (project.folder / "my_reward.py").write_text(
        "def share_of_digits(completions, answer, **columns):\n"
        "    return [sum(c.isdigit() for c in text) / max(1, len(text)) for text in completions]\n",
        "utf-8",
    )
    data = ["raw/pens/train.jsonl", "raw/pens/test.jsonl"]
    project.patience = 600
    asked = ["--reward", "my_reward.py:share_of_digits", "--minutes", "1"]
    for words in (
        ["new", "pens", "--model", "assets/llm", "--data", *data, *asked],
        ["use", "pens"],
        ["run", "--name", "first", "-S", "execution.notify.command=cat > told.json"],
    ):
        done = project.call(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    took = time.monotonic() - began
    print(f"\nfrom a model, rows and a reward to an evaluated checkpoint: {took:.0f} s", file=sys.stderr)
    measured = json.loads((project.folder / "metrics/evaluate/grpo.json").read_text("utf-8"))
    assert measured["heldout"]["greedy"]["n"] == 20
    assert set(measured["score"]) == {"greedy", "sampled"}  # a share of digits is more than right and wrong
    assert project.call("audit", "models/grpo").returncode == 0
    compared = json.loads(project.call("compare", "base", "grpo", "--json").stdout)
    assert any(note.startswith("mean score, greedy") for note in compared["notes"])
    live = json.loads(project.call("report", "--live", "--json").stdout)
    assert (live["run"], live["state"]) == ("first", "done")
    assert Path(live["page"]).is_file()
    told = json.loads((project.folder / "told.json").read_text("utf-8"))
    assert (told["name"], told["outcome"], told["recipe"]) == ("first", "done", "pens")
    assert took < 600
