"""The `rl@<run>` stage: policy optimisation with the reward of a rule, of tests, or of a trained model."""

from __future__ import annotations

from pipelines.corpora.cleaning.split import hash_fraction
from pipelines.corpora.records.rows_kept import rows_kept, rows_sentence
from pipelines.corpora.records.tokenised import read_tokenised
from pipelines.models.tokenizer import Tokens
from tasks.gate import check_gate, objections, warnings_of
from tasks.policy_run import RunInputs, optimise, publish
from tasks.rl_params import NONE, RlRun
from tasks.stage import TOKENS, Stage
from tasks.stage_warnings import MARK


def run(stage: Stage) -> None:
    """Write models/<run>/model, curves/<run>.jsonl and metrics/train/<run>.json. Raises GateClosed where the
    judge failed its gate.
    """
    section = f"rl.runs.{stage.item}"
    settings = stage.settings(RlRun)
    warnings = _pass_gate(stage, settings) if settings.judge != NONE else []
    folder = stage.input(f"data/{settings.data}/records")
    tokens = Tokens.load(stage.input(f"models/{settings.start}/model"))
    questions, validation_set = (
        read_tokenised(folder, file, tokens, stage.cache(TOKENS)) for file in ("rl", "validation")
    )
    rows = rows_kept(questions.read, questions.left_out, "questions")
    stage.say(rows_sentence(rows))
    problems, validation = questions.records, validation_set.records
    # of others a judge may know no more than the policy; evaluation tells of them
    trained_subjects = {record.subject for record in problems}
    validation = [record for record in validation if record.subject in trained_subjects]
    if settings.problems is not None:
        if settings.problems > len(problems):
            raise ValueError(
                f"{section}.problems is {settings.problems}, {folder}/rl.jsonl holds {len(problems)}"
            )
        problems = sorted(problems, key=lambda record: hash_fraction("rlvr:" + record.id))[
            : settings.problems
        ]
    trained = optimise(
        stage, settings, RunInputs(settings.start, problems, validation, questions.rules.reward)
    )
    publish(stage, settings, trained, stage.item, {"rows": rows}, warnings)


def _pass_gate(stage: Stage, settings: RlRun) -> list[str]:
    """Returns what the judge's gate warns of, which the console shows at once. Raises GateClosed."""
    gate, asking = stage.input(f"models/{settings.judge}/gate"), settings.reward.asks_run or settings.reward
    if settings.ignore_gate:
        stage.say(
            "the judge's gate is ignored: " + ("; ".join(objections(gate, asking)) or "it had no objection")
        )
    else:
        check_gate(gate, asking, settings.judge, stage.item)
    warnings = warnings_of(gate, settings.judge)
    for warning in warnings:
        stage.notice(MARK + warning)
    return warnings
