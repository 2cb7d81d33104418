"""A chain of a user's own on own data, by one short recipe, through the command line in a clone of the whole
repository.
"""

from __future__ import annotations

import json

import pytest

from tests import clone
from tests.corpora.made import write_lines
from tests.flows.toy import ROOT, Project

MINE = """\
# base -> SFT -> DPO -> GRPO -> PPO on a reward model, on questions and pairs of one's own.
corpus:
  words:
    raw: raw/words
    reward: math_answer
    sources: {words: {reader: table, splits: {train: words.jsonl, heldout: held.jsonl}, columns: {solution: solution}}}
    max_prompt_tokens: 40
base: {runs: {base: {data: words, tokenizer: {kind: char, alphabet: bytes}}}}
sft: {runs: {sft: {start: base, data: words}}}
preferences:
  likes: {origin: raw/likes, data: words, source: {kind: trl, splits: {train: likes.jsonl}}, heldout_share: 0.2, max_prompt_tokens: 40, max_answer_tokens: 20, max_tokens: 64}
  round_1: {origin: models/dpo/model, data: words, judge: judge, source: {kind: sampled, draw: 1, reward: reward_model, pairing: {kind: best_worst}}}
  round_2: {origin: models/iter_1/model, data: words, judge: judge, source: {kind: sampled, draw: 2, reward: reward_model, pairing: {kind: best_worst}}}
reward_model: {runs: {judge: {start: sft, data: likes}}}
dpo: {runs: {dpo: {start: sft, data: likes}, iter_1: {start: dpo, data: round_1}, iter_2: {start: iter_1, data: round_2}}}
rl:
  runs:
    grpo: {method: grpo, start: dpo, data: words}
    ppo: {method: ppo_reward_model, start: grpo, data: words, judge: judge, checker: math_answer}
evaluate: {runs: {ppo: {model: ppo, data: words}}}
"""
SMALL = """\
# Sizes for seconds. A model that has hardly learnt seldom ends an answer, so that a cut one may win.
preferences:
  round_1: {source: {kind: sampled, samples: 8, prompts: {train: 0}, sampling: {top_k: 0, max_new_tokens: 16}, pairing: {kind: best_worst, finished_winner: false}}}
  round_2: {source: {kind: sampled, samples: 8, prompts: {train: 0}, sampling: {top_k: 0, max_new_tokens: 16}, pairing: {kind: best_worst, finished_winner: false}}}
base: {common: {architecture: {hidden_size: 32, intermediate_size: 64, layers: 2}}}
sft: {common: {steps: 3, batch_size: 8, optimiser: {kind: adamw}}}
reward_model: {common: {batch_size: 4, validation_every: 0, keep: last}}
dpo: {common: {batch_size: 4, validation_every: 0}}
rl:
  common: {iterations: 2, prompts: 4, validation_every: 0, sampling: {max_new_tokens: 8}}
  methods:
    ppo_reward_model: {prompts: 4, iterations: 2, updates_per_epoch: 1, validation_every: 0, critic: {warmup: 1}}
evaluate: {common: {sampling: {max_new_tokens: 8}}}
execution: {threads: 1, retries: 0}
"""
CHAIN = ["corpus@words", "base@base", "sft@sft", "preferences@likes", "reference@dpo", "dpo@dpo", "rl@grpo"]
CHAIN += ["reward_model@judge", "reward_report@judge", "rl@ppo", "evaluate@ppo"]
ROUNDS = [f"{stage}_{k}" for k in (1, 2) for stage in ("preferences@round", "reference@iter", "dpo@iter")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, learning_python: str) -> Project:
    made = clone.make(tmp_path_factory.mktemp("clone") / "project", python=learning_python)
    (made.folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (made.folder / "recipes/mine.yaml").write_text(MINE)
    (made.folder / "recipes/small.yaml").write_text(SMALL)
    rows = [
        {"question": f"What is {n} plus {n * n}?", "answer": str(n + n * n), "solution": f"{n + n * n}"}
        for n in range(24)
    ]
    (made.folder / "raw/words").mkdir()
    (made.folder / "raw/likes").mkdir()
    write_lines(made.folder / "raw/words/words.jsonl", rows[:20])
    write_lines(made.folder / "raw/words/held.jsonl", rows[20:])
    likes = [{"prompt": f"Say {n}.", "chosen": f"It is {n}.", "rejected": f"{n + 1}!"} for n in range(30)]
    write_lines(made.folder / "raw/likes/likes.jsonl", likes)
    made.patience = 900
    return made


def test_a_chain_on_own_data_in_25_lines_and_a_run_beside_it(project: Project):
    assert len(MINE.splitlines()) <= 25
    used = project.call("use", "small+mine")
    assert used.returncode == 0, used.stderr
    ended = {name: stage["ended"] for name, stage in project.run("evaluate", "rl")["stages"].items()}
    assert ended == dict.fromkeys(CHAIN, "run")
    assert project.plan("evaluate", "rl") == {}
    assert json.loads((project.folder / "models/ppo/lineage.json").read_text())["inputs"].keys() >= {
        "models/grpo/model",
        "models/judge/model",
    }
    audited = project.call("audit", "models/ppo")
    assert audited.returncode == 0, audited.stdout + audited.stderr
    project.set("rl.runs.again", {"method": "grpo", "start": "ppo", "data": "words", "judge": "none"})
    assert project.plan("evaluate", "rl") == {"rl@again": "run"}
    status = project.dvc("status", "evaluate@ppo", "--json")
    assert json.loads(status.stdout) == {}, status.stdout


def test_repro_by_hand_samples_again_with_kernels_that_were_compiled_before(project: Project):
    """The kernels' cache is no code: what the first of two stages wrote the second may read."""
    before = (project.folder / "samples/ppo.jsonl").read_bytes()
    for _ in range(2):
        done = project.dvc("repro", "-f", "-s", "evaluate@ppo")
        assert done.returncode == 0, done.stdout + done.stderr
        assert (project.folder / "samples/ppo.jsonl").read_bytes() == before
    assert not list(project.folder.glob("pipelines/**/*.nbi"))


def test_two_base_models_and_a_second_sft_rerun_nothing_else(project: Project):
    """A second architecture on the same data, and SFT again after DPO, on the chosen answers of the pairs."""
    before = (project.folder / "params.yaml").read_text()
    project.set("base.runs.wide", {"data": "words", "architecture": {"hidden_size": 48, "heads": 4}})
    project.set("sft.runs.wide_sft", {"start": "wide", "data": "words"})
    project.set("sft.runs.sft_again", {"start": "dpo", "data": "likes"})
    project.set("evaluate.runs.wide_sft", {"model": "wide_sft", "data": "words", "reward": "math_answer"})
    fresh = {"base@wide", "sft@wide_sft", "sft@sft_again", "evaluate@wide_sft"}
    targets = ("evaluate", "sft")
    ended = {name: stage["ended"] for name, stage in project.run(*targets)["stages"].items()}
    assert {name for name, how in ended.items() if how != "keep"} == fresh
    assert json.loads(project.dvc("status", "evaluate@wide_sft", "sft@sft_again", "--json").stdout) == {}
    (project.folder / "params.yaml").write_text(before)
    assert project.plan(*targets) == {}


def test_two_rounds_of_iterative_dpo_are_sets_and_runs_like_any_others(project: Project):
    ended = {name: stage["ended"] for name, stage in project.run("dpo")["stages"].items()}
    assert [name for name in ended if ended[name] != "keep"] == ROUNDS
    assert {ended[name] for name in ROUNDS} == {"run"}
    for number, start in ((1, "dpo"), (2, "iter_1")):
        drawn = json.loads((project.folder / f"metrics/preferences/round_{number}.json").read_text())
        assert drawn["samples"]["train"]["length"] > 0
        trained = json.loads((project.folder / f"metrics/train/iter_{number}.json").read_text())
        assert (trained["start"], trained["pairs"]) == (start, drawn["pairs"]["train"])
    inputs = json.loads((project.folder / "models/iter_2/lineage.json").read_text())["inputs"]
    assert {"models/iter_1/model", "data/round_2/pairs", "data/reference/iter_2"} <= inputs.keys()
    assert project.plan("dpo") == {}
    assert json.loads(project.dvc("status", "dpo@iter_2", "--json").stdout) == {}
    project.set("preferences.round_2.source.draw", 3)
    assert set(project.plan("dpo")) == {stage for stage in ROUNDS if stage.endswith("_2")}
    project.set("preferences.round_2.source.draw", 2)


def test_a_rule_rewarded_run_waits_for_no_judge(project: Project):
    rows = {row["stage"]: row["upstream"] for row in project.plan_rows("rl")}
    assert rows["rl@grpo"] == ["corpus@words", "dpo@dpo"]
    assert rows["rl@ppo"] == ["corpus@words", "reward_model@judge", "reward_report@judge", "rl@grpo"]
