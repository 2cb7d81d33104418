"""Reward functions are tried on five questions: what is shown, what is refused, what is remembered."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows import reward_trial
from pipelines.corpora.corpus_params import CorpusParams
from pipelines.settings import JUDGE

REWARDS = """
import json
from pathlib import Path


def correct(completions, solution, **kwargs):
    with open(__file__ + "-calls", "a") as stream:
        stream.write("x")
    return [float(text == gold) for text, gold in zip(completions, solution)]


def needs(completions, difficulty, **kwargs):
    return [1.0] * len(completions)


def broken(prompt, completion, record):
    return record["no such column"]


def unreached(prompt, completion, record):
    raise TimeoutError("no answer")


def picky(prompt, completion, record):
    return completion == "3" or 1 / 0
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_rewards.py").write_text(REWARDS)
    (tmp_path / "raw").mkdir()
    rows = [{"question": f"how many are {n} and none?", "solution": str(n)} for n in range(8)]
    (tmp_path / "raw/train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for module in ("place", "process"):
        monkeypatch.setattr(f"pipelines.rewards.own.{module}.ROOT", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return tmp_path


def params(reward: Any, **columns: str) -> Any:
    source = {"reader": "table", "columns": {"answer": "solution"}, "splits": {"rl": "train.jsonl"}}
    shop = CorpusParams.model_validate({"raw": "raw", "sources": {"shop": source}})
    runs = {"mine": SimpleNamespace(reward=JUDGE.choose(reward), data="shop")}
    return SimpleNamespace(
        rl=SimpleNamespace(runs=runs),
        evaluate=SimpleNamespace(runs={}),
        corpus={"shop": shop},
        identity=SimpleNamespace(seed=0),
    )


def test_what_it_gave_is_shown_and_remembered_until_something_changes(root: Path) -> None:
    def sentence() -> str:
        (trial,) = reward_trial.trials(root, params("my_rewards.py:correct"))
        return trial.sentence

    expected = (
        "reward my_rewards.py:correct of rl@mine, tried on 5 questions of shop: reference answers 1, 1, 1, 1, 1; "
        "wrong answers 0, 0, 0, 0, 0"
    )
    assert [sentence(), sentence()] == [expected, expected]
    assert (root / "my_rewards.py-calls").read_text() == "x"
    (root / "my_rewards.py").write_text(REWARDS + "LATER = 1\n")
    assert sentence() == expected
    (root / "raw/train.jsonl").write_text('{"question": "one?", "solution": "1"}\n')
    assert "tried on 1 questions" in sentence()
    assert (root / "my_rewards.py-calls").read_text() == "xxx"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("needs", "it needs difficulty, and the questions have"),
        ("broken", "an error for each of 5 questions of shop: KeyError: 'no such column' (my_rewards.py:18)"),
    ],
)
def test_one_that_cannot_be_used_is_refused(root: Path, name: str, fault: str) -> None:
    found = reward_trial.trials(root, params(f"my_rewards.py:{name}"))
    (said,) = reward_trial.faults(found)
    assert fault.partition(" (")[0] in said


def test_a_server_that_does_not_answer_and_some_errors_are_told(root: Path) -> None:
    (trial,) = reward_trial.trials(root, params("my_rewards.py:unreached"))
    assert (trial.fault, trial.note[:50]) == ("", "an error for each of 5 questions of shop: TimeoutE")
    (trial,) = reward_trial.trials(root, params("my_rewards.py:picky"))
    assert trial.fault == ""
    assert " errors, the first: ZeroDivisionError: division by zero" in trial.sentence
    assert [said.shown for said in trial.references].count("error") == 4


def test_the_functions_of_a_sum_are_tried_each(root: Path) -> None:
    parts = {"a": {"reward": "my_rewards.py:correct"}, "b": {"reward": "final_answer"}}
    (trial,) = reward_trial.trials(root, params({"kind": "sum", "parts": parts}))
    assert trial.path == "my_rewards.py:correct"
    assert reward_trial.trials(root, params("final_answer")) == []
