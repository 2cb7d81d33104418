"""DPO and a reward model in two processes end where one process does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.preference_inputs import DPO, RANKING, make_folder, model_outs, run_of, run_stage

ROOT = Path(__file__).resolve().parents[2]


def curve(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"curves/{name}.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dpo", "reward_model"])
def test_two_processes_end_where_one_does(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path)
    extra = ["data/reference/dpo"] if kind == "dpo" else []
    if extra:
        params = {"dpo.runs.dpo.start": "sft", "dpo.runs.dpo.preferences": "sums"}
        run_stage("reference@dpo", params, ["models/sft/model", "data/preferences/sums"], extra)
    common = {**(DPO if kind == "dpo" else RANKING), "steps": 10, "validation_every": 5}
    common["optimiser"] = common["optimiser"] | {"learning_rate": 3e-4, "epsilon": 1e-5}
    stage = run_of(kind, kind, common, {}, extra=extra)
    alone = curve(kind)
    spec = json.loads(json.dumps(stage.spec.__dict__, default=list))
    spec["execution"] |= {"processes": 2, "zero_stage": 1, "micro_batch_tokens": 60}
    spec["work"] = str(tmp_path / "several")
    Path(spec["work"]).mkdir()
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "WHETSTONE_SPEC": str(tmp_path / "spec.json")}
    done = subprocess.run(
        [sys.executable, "-c", RUN, stage.name], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    several = [json.loads(line) for line in (tmp_path / "several/outs" / model_outs(kind)[1]).read_text().splitlines()]
    assert len(several) == len(alone) == 10
    for row, other in zip(several, alone, strict=True):
        assert row == pytest.approx(other, rel=2e-3, abs=2e-5)


# The stage alone, without the check of its code digest, which these specifications do not hold.
RUN = "import sys; from tasks import launch; launch.launch(2, [sys.executable, '-m', 'tests.tasks.preference_worker', sys.argv[1]], 5)"
