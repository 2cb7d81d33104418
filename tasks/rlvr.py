"""The `rlvr@<run>` stage: policy optimisation with a rule or a distilled verifier as the reward (reward_bridge.md 5)."""

from __future__ import annotations

from pipelines.corpora.record import read_records
from pipelines.corpora.split import fraction
from pipelines.rewards.verifier_params import VerifierParams
from tasks.gate import check_gate, objections
from tasks.policy_run import Course, optimise, publish, settings_of
from tasks.rlvr_params import RlvrRun
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write models/rlvr_<run>/model, curves/rlvr_<run>.jsonl and metrics/train/rlvr_<run>.json. GateClosed where the verifier failed."""
    settings = settings_of(stage, RlvrRun, "rl.common", "rlvr.common", f"rlvr.runs.{stage.item}")
    gate = stage.input(f"data/verifier_gate/{settings.verifier}")
    if isinstance(settings.reward, VerifierParams):
        if settings.ignore_gate:
            stage.say("the verifier's gate is ignored: " + ("; ".join(objections(gate, settings.reward)) or "it had no objection"))
        else:
            check_gate(gate, settings.reward, stage.item)
    folder = stage.input(f"data/{settings.set}/records")
    problems, validation = (read_records(folder / f"{file}.jsonl") for file in ("rl", "validation"))
    practised = {
        record.subject for record in problems
    }  # of the others a verifier knows no more than the policy: rlvr_evaluate tells of them
    validation = [record for record in validation if record.subject in practised]
    if settings.problems is not None:
        if settings.problems > len(problems):
            raise ValueError(f"rlvr.runs.{stage.item}.problems is {settings.problems}, {folder}/rl.jsonl holds {len(problems)}")
        problems = sorted(problems, key=lambda record: fraction("rlvr:" + record.id))[: settings.problems]
    publish(stage, settings, optimise(stage, settings, Course(settings.start, problems, validation)), f"rlvr_{stage.item}")
