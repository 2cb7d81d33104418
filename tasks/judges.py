"""The judges of a stage that trains a policy: the one that its reward names, and the exact checker that validates."""

from __future__ import annotations

from pipelines.models.placement import Placement
from pipelines.models.tokenizer import Tokens
from pipelines.rewards.judge import Judge, Provision, RuleJudge
from pipelines.rewards.reward_params import JudgeParams
from pipelines.seams import load
from pipelines.settings import Choice
from tasks.stage import Stage


def make_judge(stage: Stage, reward: Choice, tokens: Tokens, placement: Placement) -> Judge:
    """A rule by its name, or a model: that of a kind `reward_model` is the stage's input models/reward_model/model."""
    module = load("pipelines.rewards", reward.kind)
    if hasattr(module, "check"):
        return RuleJudge(module)
    folder = stage.input(f"models/{reward.kind}/model")
    execution = stage.execution
    judge: Judge = module.make_judge(
        reward, Provision(folder, tokens, placement, execution.micro_batch_tokens, execution.trust_remote_code)
    )
    return judge


def make_checker(settings: JudgeParams, judge: Judge, tokens: Tokens) -> Judge | None:
    """The exact checker: `judge` itself where that is a rule and no other is named, None where only a model judges.

    Raises ValueError where it is not the one that the corpus names in tokens.json.
    """
    if settings.checker is None and not isinstance(judge, RuleJudge):
        return None
    name, key = (settings.checker, "checker") if settings.checker else (settings.reward.kind, "reward")
    if tokens.reward != name:
        raise ValueError(
            f"the corpus names the checker {tokens.reward} (tokens.json), the settings name {key} {name}; make them equal"
            + ("" if settings.checker else f", or set checker to {tokens.reward}")
        )
    return judge if settings.checker in (None, settings.reward.kind) else RuleJudge(load("pipelines.rewards", name))
