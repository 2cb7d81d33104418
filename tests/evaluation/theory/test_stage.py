"""The stage `dpo_theory@worlds` writes what the report reads."""

import json

from tasks.dpo_theory import run
from tasks.stage import Spec, Stage


def test_it_writes_its_metrics_file_and_says_what_it_found(tmp_path, capsys):
    small = {
        "seeds": 2,
        "dpo_steps": 4,
        "sweep": [2, 4],
        "reward_steps": 4,
        "ppo_iterations": 2,
        "ppo_samples": 16,
    }
    params = {"identity.seed": 0, "dpo_theory.worlds": small}
    stage = Stage(
        Spec("dpo_theory@worlds", "0", str(tmp_path), ("metrics/dpo_theory/worlds.json",), params=params)
    )
    run(stage)
    found = json.loads((tmp_path / "outs/metrics/dpo_theory/worlds.json").read_text("utf-8"))
    assert [row["steps"] for row in found["network"]["sweep"]] == [2, 4]
    assert found["settings"]["covered"] == 4
    assert "DPO above PPO by" in capsys.readouterr().out
