"""The `dpo_theory` stage: DPO and PPO in worlds small enough to write every policy down (dpo_vs_ppo.md 6)."""

from __future__ import annotations

import json

from pipelines.evaluation.theory.experiment import run_theory
from pipelines.evaluation.theory.theory_params import TheoryParams
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write metrics/dpo_theory.json. It runs on one core, whatever the execution settings say: the policies
    are 8 x 8.
    """
    settings = stage.section("dpo_theory", TheoryParams)
    found = run_theory(settings, stage.seed, stage.say)
    stage.out("metrics/dpo_theory.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    stage.progress(1, 1)
