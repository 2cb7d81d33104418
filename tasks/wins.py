"""The `wins@<board>` stage: win, tie and loss of pairs of assessed models under one judge (dpo_vs_ppo.md
7).
"""

from __future__ import annotations

import json

from pipelines.evaluation.assessment_params import WinsParams
from pipelines.evaluation.judges.context import PairJudgeContext
from pipelines.evaluation.wins import win_tables
from pipelines.models.placement import Placement
from pipelines.seams import load
from tasks.sources import opener
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write metrics/wins/<board>.json."""
    settings, execution = stage.section(f"wins.{stage.item}", WinsParams), stage.execution
    folder = stage.input("samples/assess")
    samples = {}
    for name in sorted({name for match in settings.matches for name in match}):
        path = folder / f"{name}.jsonl"
        if not path.exists():
            raise FileNotFoundError(
                f"{path}: missing; wins.{stage.item}.matches names {name}, which no stage assess@{name} has "
                f"sampled"
            )
        samples[name] = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    placement = Placement.resolve(execution.device, execution.dtype, execution.threads)
    judge = load("pipelines.evaluation.judges", settings.judge.kind).make(
        settings.judge, PairJudgeContext(placement, execution.trust_remote_code, opener(stage))
    )
    result = win_tables(samples, judge, settings)
    stage.out(f"metrics/wins/{stage.item}.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    for table in result["matches"]:
        win, tie, lose = table["percent"]
        stage.say(
            f"{table['first']} against {table['second']}: {win} / {tie} / {lose} % of {table['prompts']} "
            f"({result['judge']})"
        )
    stage.progress(1, 1)
