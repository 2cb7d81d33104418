"""A training that made no update, and a judge that is not above chance, warn wherever their results are
read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation.agreement import JudgedAnswer, agreement
from pipelines.evaluation.intervals import share_of
from pipelines.models import policy, score_head
from pipelines.models.tokenizer import Tokens
from pipelines.training.policy_params import PolicyParams
from tasks import reward_report, verifier_report
from tasks.gate import FILE, warnings_of, write_gate
from tasks.policy_run import without_update
from tests.tasks.preference_inputs import make_pairs, model_outs, run_stage
from tests.text_files import write_pairs
from tests.tiny import make_tiny_model
from tests.training.stages import COMMON, FLAT, PPO, make_inputs

UNCHANGED = "so the model is the one that it started from"


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A start model that answers nothing right, and a reward model whose scores are all equal."""
    folder = tmp_path_factory.mktemp("warnings")
    make_inputs(folder, 40)
    tokens = Tokens.load(folder / "data/tiny/tokenizer")
    model = score_head.make(make_tiny_model(tokens), 0)
    torch.nn.init.zeros_(model.score.weight)
    score_head.save(model, tokens, folder / "models/constant/model")
    (folder / "data/sums/pairs").mkdir(parents=True)
    write_pairs(folder / "data/sums/pairs/heldout.jsonl", make_pairs(tokens, 24))
    here = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(here)


def read(path: str) -> dict[str, Any]:
    return json.loads(Path(path).read_text("utf-8"))


def reinforce(name: str, settings: dict[str, Any], judge: str = "none") -> dict[str, Any]:
    own = {"method": "tried", "start": "sft", "data": "tiny", "judge": judge}
    sections = {"rl.common": COMMON | {"validation_every": 0}, "rl.methods.tried": settings}
    inputs = ["models/sft/model", f"models/{judge}/model", f"models/{judge}/gate", "data/tiny/records"]
    run_stage(f"rl@{name}", sections | {f"rl.runs.{name}": own}, inputs, model_outs(name))
    return read(f"metrics/train/{name}.json")


@pytest.mark.parametrize("more", [{}, {"zero_signal": "count"}])
def test_a_run_whose_groups_are_unanimous_says_that_it_updated_nothing(
    more: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    figures = reinforce("flat", FLAT | {"iterations": 2} | more)
    assert (figures["iterations"], figures["updates"]) == (2, 0)
    (warning,) = figures["warnings"]
    assert warning.startswith(
        f"no optimiser update in 2 iterations, {UNCHANGED}; no response had an advantage"
    )
    assert "choose problems nearer to the policy's ability" in warning
    assert f"warning: {warning}" in capsys.readouterr().out
    before, after = (policy.load(f"models/{name}/model")[0].state_dict() for name in ("sft", "flat"))
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_reward_model_at_chance_warns_at_its_gate_and_whoever_learns_from_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outs = ["metrics/reward_report/constant.json", "models/constant/gate"]
    sections = {"reward_report": {}, "reward_model.runs.constant": {"data": "sums"}}
    run_stage("reward_report@constant", sections, ["models/constant/model", "data/sums/pairs"], outs)
    (warning,) = read(outs[0])["warnings"]
    assert warning.startswith("held-out accuracy 0.500 (95 %: 0.314 to 0.686) is not above chance (0.5)")
    assert f"warning: {warning}" in capsys.readouterr().out
    gate = read(f"{outs[1]}/{FILE}")
    assert (gate["passed"], gate["reasons"], gate["warnings"]) == (True, [], [warning])
    figures = reinforce("against", FLAT | {"reward": "reward_model", "iterations": 1}, "constant")
    assert figures["method"]["reward"] == "reward_model, model constant"
    assert figures["warnings"][0] == f"its judge constant: {warning}"
    assert UNCHANGED in figures["warnings"][1]
    assert f"notice: warning: its judge constant: {warning}" in capsys.readouterr().out


def test_the_cause_of_no_update_is_named() -> None:
    settings = PolicyParams.model_validate(FLAT | {"max_mean_ratio": 2.0, "credit": "group"})
    row = {"reward": 0.0, "updates": 0, "empty": 0}
    skipped = without_update([row | {"skipped_updates": 4}], settings)
    assert "4 were skipped, their mean ratio above max_mean_ratio 2" in skipped[0]
    assert "no response had an advantage" in without_update([row | {"empty": 1}], settings)[0]
    # the row before training counts no iteration
    assert without_update([{"validation_greedy": 0.1}, row, row | {"updates": 1}], settings) == []
    # a token budget that ends with the critic's warm-up
    settings = PolicyParams.model_validate(PPO | {"iterations": 4, "token_budget": 10})
    assert "critic.warmup 1 covers them all" in without_update([row], settings)[0]


@given(st.integers(0, 300), st.integers(0, 300))
def test_pairs_at_chance_are_those_whose_interval_reaches_a_half(right: int, wrong: int) -> None:
    accuracy = share_of([1.0] * right + [0.0] * wrong)
    warned = bool(reward_report.at_chance(accuracy))
    assert warned is not (accuracy["low"] > 0.5)
    if right <= wrong:
        assert warned


@pytest.mark.parametrize(
    ("verdicts", "warned"),
    [("1010" * 20, False), ("0101" * 20, True), ("1100" * 20, True), ("1" * 80, True)],
)
def test_a_verifier_at_chance_is_one_whose_kappa_reaches_zero(verdicts: str, warned: bool) -> None:
    """Labels alternate. Right always; wrong always; half of the time; one verdict for all."""
    judged = [JudgedAnswer(n, 1 - n % 2, int(verdict)) for n, verdict in enumerate(verdicts)]
    warnings = verifier_report.at_chance(agreement(judged))
    assert bool(warnings) is warned
    assert all("is not above chance (0)" in warning for warning in warnings)


def test_a_gate_without_warnings_has_none(tmp_path: Path) -> None:
    write_gate(tmp_path, [])
    assert read(str(tmp_path / FILE))["warnings"] == []
    assert warnings_of(tmp_path, "judge") == []
    (tmp_path / FILE).write_text('{"passed": true, "reasons": [], "examined": {}}')  # a stage of one's own
    assert warnings_of(tmp_path, "judge") == []
