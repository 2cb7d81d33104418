"""The ppo_rm stage through its files: the policy loop against a reward model, killed, resumed, and in two
processes.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from flows.graph.closure import Code
from pipelines.settings import seam_modules
from tasks.rl_params import RlRun
from tests.training.stages import PPO_RM, make_inputs, make_reward_model, make_stage, run

ROOT = Path(__file__).resolve().parents[2]
NAME = "rl@ppo_rm"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ppo_rm")
    make_inputs(folder, trained=True)
    make_reward_model(folder)
    return folder


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)


def rows(files):
    return [json.loads(line) for line in files["curves/ppo_rm.jsonl"].splitlines()]


@pytest.fixture(scope="module")
def undisturbed(folder):
    before = Path.cwd()
    os.chdir(folder)
    try:
        return run(make_stage(folder, NAME, "undisturbed"))
    finally:
        os.chdir(before)


def test_the_curve_and_the_figures_say_reward_and_true_accuracy(undisturbed):
    curve, metrics = rows(undisturbed), json.loads(undisturbed["metrics/train/ppo_rm.json"])
    trained = [row for row in curve if "reward" in row]
    assert len(trained) == 6
    assert all(-5 <= row["reward"] <= 5 and row["errors"] == 0 for row in trained)
    assert len({row["reward"] for row in trained}) == 6
    assert metrics["validation_reward"] == curve[-1]["validation_reward"]
    assert {"validation_greedy", "validation_sampled"} <= set(metrics)
    assert metrics["method"]["reward"] == "reward_model, model reward_model, clip 5"
    assert metrics["updates"] == sum(row["updates"] for row in trained) > 0
    assert "warnings" not in metrics


@pytest.mark.parametrize("stop", ["3:SIGKILL", "in5:SIGTERM"])
def test_a_killed_run_ends_byte_equal(folder, undisturbed, stop, learning_python):
    work = f"killed {stop[0]}"
    command = [learning_python, "-m", "tests.training.stages", str(folder), NAME, stop, work]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    status = subprocess.run(
        command, cwd=ROOT, env=environment, timeout=120, stdout=subprocess.DEVNULL
    ).returncode
    assert status == (143 if stop.endswith("TERM") else -9)
    assert run(make_stage(folder, NAME, work)) == undisturbed


def test_the_critic_may_start_from_the_reward_model(folder, undisturbed):
    start = PPO_RM | {"critic": {"warmup": 1, "decay": 0.9, "init": "reward_model"}, "iterations": 2}
    plain = PPO_RM | {"critic": {"warmup": 1, "decay": 0.9}, "iterations": 2}
    first, second = (
        rows(run(make_stage(folder, NAME, work, {"rl.runs.ppo_rm": settings})))
        for work, settings in (("from-model", start), ("from-policy", plain))
    )
    assert first[1]["reward"] == second[1]["reward"], "the first iteration samples the same"
    assert first[1]["value_loss"] != second[1]["value_loss"]


def test_an_ensemble_judges_too(tmp_path, monkeypatch, undisturbed):
    make_inputs(tmp_path, trained=True)
    make_reward_model(tmp_path, members=2)
    monkeypatch.chdir(tmp_path)
    settings = {"rl.runs.ppo_rm": PPO_RM | {"iterations": 1, "critic": {"init": "reward_model"}}}
    found = rows(run(make_stage(tmp_path, NAME, sections=settings)))
    assert found[1]["reward"] != rows(undisturbed)[1]["reward"]


def test_the_prediction_of_memory_counts_the_reward_model(folder, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        "tasks.policy_memory.check_fits",
        lambda needed, *_: (seen.update(needed), (_ for _ in ()).throw(MemoryError))[1],
    )
    with pytest.raises(MemoryError):
        run(make_stage(folder, NAME, "memory"))
    weights = Path("models/reward_model/model/model.safetensors").stat().st_size
    assert 0.9 * weights < seen["judge: weights"] <= weights


def test_the_stage_reaches_its_judge_through_its_parameters(folder):
    """The code digest holds the reward model's judge, and the rules of rl do not become stale with it."""
    settings = make_stage(folder, NAME).settings(RlRun)
    named = set(seam_modules(settings))
    assert {
        "pipelines.rewards.models.reward_model",
        "pipelines.rewards.models.reward_model_params",
        "pipelines.rewards.rules.final_answer",
    } <= named
    code = Code(ROOT)
    assert "pipelines.models.score_head" in code.closure(["tasks.rl", *named])[0]
    assert "pipelines.rewards.models.reward_model" not in code.closure(["tasks.rl"])[0]


@pytest.mark.slow
def test_two_processes_have_the_figures_of_one(folder, learning_python):
    more = {"optimiser": {"learning_rate": 3e-4, "epsilon": 1e-5}, "zero_signal": "count", "iterations": 3}
    more["critic"] = {
        "warmup": 1,
        "optimiser": {"learning_rate": 1e-3, "epsilon": 1e-5},
        "init": "reward_model",
    }
    sections = {"rl.runs.ppo_rm": PPO_RM | more}
    alone = rows(run(make_stage(folder, NAME, "alone", sections)))
    options = {"processes": 2, "zero_stage": 3, "micro_batch_tokens": 80, "checkpoint_period_s": 0}
    stage = make_stage(folder, NAME, "two", sections, **options)
    stage.spec.write(folder / "spec.json")
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "WHETSTONE_SPEC": str(folder / "spec.json"),
    }
    done = subprocess.run(
        [learning_python, "-m", "tasks", NAME], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    together = [json.loads(line) for line in Path("curves/ppo_rm.jsonl").read_text().splitlines()]
    for one, two in zip(alone, together, strict=True):
        assert two == pytest.approx(one, rel=2e-3, abs=2e-3)
