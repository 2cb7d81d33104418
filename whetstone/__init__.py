"""Whetstone from Python: plan and run the graph, trace and compare checkpoints, ask one, judge answers.

    import whetstone

    whetstone.run(["rl@grpo"], settings={"rl.common.iterations": 50})
    print(whetstone.lineage("models/grpo")["raw"])
    [[reply]] = whetstone.load("grpo").generate(["3+4?"], whetstone.SamplingParams(temperature=0))
    [verdict] = whetstone.judge("math_answer", [{"response": reply.text, "reference": "7"}])

The command line is made of these functions. docs/python.md explains them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows.api import compare, judge, lineage, load, plan, run

if TYPE_CHECKING:
    from flows.graph.plan import Plan as Plan
    from flows.provenance.comparison import SidesCompared as SidesCompared
    from flows.running.run import Ran as Ran
    from pipelines.inference.checkpoint import Checkpoint as Checkpoint
    from pipelines.inference.checkpoint import Reply as Reply
    from pipelines.models.conversation import Conversation as Conversation
    from pipelines.rewards.verdict import Verdict as Verdict
    from pipelines.rollouts.rollout_params import SamplingParams as SamplingParams

__all__ = ["compare", "judge", "lineage", "load", "plan", "run"]

TYPES = {  # where they are; imported when they are asked for, so that `import whetstone` costs nothing
    "Checkpoint": "pipelines.inference.checkpoint",
    "Conversation": "pipelines.models.conversation",
    "Plan": "flows.graph.plan",
    "Ran": "flows.running.run",
    "Reply": "pipelines.inference.checkpoint",
    "SamplingParams": "pipelines.rollouts.rollout_params",
    "SidesCompared": "flows.provenance.comparison",
    "Verdict": "pipelines.rewards.verdict",
}


def __getattr__(name: str) -> Any:
    if name not in TYPES:
        raise AttributeError(f"whetstone has no {name}; it has {', '.join([*__all__, *TYPES])}")
    from importlib import import_module

    return getattr(import_module(TYPES[name]), name)
