"""The setting `judge`: the run that made the model which gives a reward. It is named once, and the reward's
own option `model` follows from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.settings import JUDGE, Choice

NONE = "none"  # a rule gives the reward


def with_judge(reward: Any, judge: Any) -> Any:
    """Returns the reward with `judge` as its model, where its model is a run, and so for the parts of a
    sum; any other reward as it is.
    """
    if isinstance(reward, Mapping) and isinstance(reward.get("parts"), Mapping):
        parts = reward["parts"].items()
        laid = {
            name: {**part, "reward": with_judge(part["reward"], judge)}
            if isinstance(part, Mapping) and "reward" in part
            else part
            for name, part in parts
        }
        return {**reward, "parts": laid}
    if not _asks_run(reward):
        return reward
    return {"model": judge, **(reward if isinstance(reward, Mapping) else {"kind": reward})}


def check_judge(reward: Choice | None, judge: str) -> None:
    """Raises ValueError where the reward and its judge contradict each other. A reward of None stands for no
    sampling.
    """
    asking = None if reward is None else reward.asks_run
    if asking is None:
        if judge != NONE:
            kind = f"the reward {reward.kind}" if reward else "what is not sampled"
            raise ValueError(
                f"{kind} asks no model, and a run waits for the judge that it names: remove judge (it must "
                f"be none, not {judge}), or name a reward that asks one"
            )
    elif judge == NONE:
        raise ValueError(f"the reward {asking.module_name} asks a model: name in judge the run that made it")
    elif getattr(asking, "model", judge) != judge:
        raise ValueError(
            f"reward.model is {getattr(asking, 'model', None)}, judge is {judge}: leave reward.model out"
        )


def _asks_run(reward: Any) -> bool:
    kind = reward.get("kind") if isinstance(reward, Mapping) else reward
    try:
        return isinstance(kind, str) and JUDGE.options(kind).model_is_run
    except ValueError:  # no such reward: said by its own check
        return False
