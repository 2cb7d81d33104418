"""The stages `dpo_theory@<name>`: DPO and PPO in synthetic worlds that are small enough to compute every
policy exactly (dpo_vs_ppo.md 6).
"""

from __future__ import annotations

import json

from pipelines.evaluation.theory.experiment import run_theory
from pipelines.evaluation.theory.theory_params import TheoryParams
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write metrics/dpo_theory/<name>.json. The stage uses one core, whatever the execution settings say: the
    policies are 8 x 8.
    """
    settings = stage.section(f"dpo_theory.{stage.item}", TheoryParams)
    figures = run_theory(settings, stage.seed, stage.say)
    path = stage.out(f"metrics/dpo_theory/{stage.item}.json")
    path.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    stage.progress(1, 1)
