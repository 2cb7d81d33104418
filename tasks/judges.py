"""The judges of a stage that trains a policy: the one that its reward names, and the exact checker for
validation.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pipelines.models.placement import Placement
from pipelines.models.tokenizer import Tokens
from pipelines.rewards.judge import Judge, JudgeContext, judge_of
from pipelines.rewards.reward_params import JUDGE, JudgeParams
from pipelines.settings import Choice
from tasks.sources import opener
from tasks.stage import Stage


def make_judge(stage: Stage, reward: Choice, tokens: Tokens, placement: Placement) -> Judge:
    """Returns the judge that `reward` names: a rule, or what its module makes with its options, where needed
    with the stage's input models/<option model>/model (without that option models/<kind>/model).
    """
    execution = stage.execution
    folder: Path | None = None
    with suppress(KeyError):  # not declared: none of its own, or the judge says that it is missing
        folder = stage.input(f"models/{getattr(reward, 'model', reward.kind)}/model")
    context = JudgeContext(
        folder, tokens, placement, execution.micro_batch_tokens, execution.trust_remote_code, opener(stage)
    )
    return judge_of(reward, context)


def make_checker(
    stage: Stage, settings: JudgeParams, judge: Judge, tokens: Tokens, placement: Placement, exact: str | None
) -> Judge | None:
    """Returns the exact checker: `judge` itself where it is a rule and no other is named; None where a model
    judges and no checker is named. `exact`: the checker that the run's data names.

    Raises ValueError where the checker is not that one.
    """
    if settings.checker is None and not judge.rule:
        return None
    name, key = (settings.checker, "checker") if settings.checker else (settings.reward.kind, "reward")
    if exact is not None and exact != name:
        raise ValueError(
            f"the data names the checker {exact} (set.json), the settings name {key} {name}; "
            f"make them equal" + ("" if settings.checker else f", or set checker to {exact}")
        )
    return judge if name == settings.reward.kind else make_judge(stage, JUDGE.choose(name), tokens, placement)
