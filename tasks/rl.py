"""The `rl@<run>` stage: policy optimisation, rewarded by a rule, by tests, or by a model that a stage
made.
"""

from __future__ import annotations

from pipelines.corpora.record import read_records
from pipelines.corpora.split import fraction
from tasks.gate import check_gate, objections
from tasks.policy_run import Course, optimise, publish
from tasks.rl_params import NONE, RlRun
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write models/<run>/model, curves/<run>.jsonl and metrics/train/<run>.json. GateClosed where the judge
    failed its gate.
    """
    own = f"rl.runs.{stage.item}"
    settings = stage.settings(RlRun)
    if settings.judge != NONE:
        gate = stage.input(f"models/{settings.judge}/gate")
        if settings.ignore_gate:
            stage.say(
                "the judge's gate is ignored: "
                + ("; ".join(objections(gate, settings.reward)) or "it had no objection")
            )
        else:
            check_gate(gate, settings.reward, settings.judge, stage.item)
    folder = stage.input(f"data/{settings.data}/records")
    problems, validation = (read_records(folder / f"{file}.jsonl") for file in ("rl", "validation"))
    # of others a judge may know no more than the policy; evaluation tells of them
    practised = {record.subject for record in problems}
    validation = [record for record in validation if record.subject in practised]
    if settings.problems is not None:
        if settings.problems > len(problems):
            raise ValueError(
                f"{own}.problems is {settings.problems}, {folder}/rl.jsonl holds {len(problems)}"
            )
        problems = sorted(problems, key=lambda record: fraction("rlvr:" + record.id))[: settings.problems]
    publish(
        stage, settings, optimise(stage, settings, Course(settings.start, problems, validation)), stage.item
    )
