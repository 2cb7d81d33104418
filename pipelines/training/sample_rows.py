"""Some responses of an iteration as rows of text, for people who watch a run."""

from __future__ import annotations

import math
from typing import Any

from pipelines.models.tokenizer import Tokens
from pipelines.training.collection import Rollout

PROMPTS, RESPONSES = 4, 2  # so many of each


def some_samples(rollout: Rollout, tokens: Tokens) -> list[dict[str, Any]]:
    """Returns rows {"id", "subject", "answer", "prompt", "text", "verdict", "reason", "reward"} of the first
    responses to the first prompts. `reward`: as shaped; None without a verdict.
    """
    forest, of_prompt = rollout.forest, dict[int, list[int]]()
    for leaf in rollout.verdicts:
        of_prompt.setdefault(forest.nodes[leaf].tree, []).append(leaf)
    leaves = [leaf for tree in sorted(of_prompt)[:PROMPTS] for leaf in of_prompt[tree][:RESPONSES]]
    texts = tokens.decode_batch([forest.response(leaf) for leaf in leaves])
    return [_row(rollout, leaf, text) for leaf, text in zip(leaves, texts, strict=True)]


def _row(rollout: Rollout, leaf: int, text: str) -> dict[str, Any]:
    record, verdict = rollout.problems[rollout.forest.nodes[leaf].tree], rollout.verdicts[leaf]
    reward = rollout.rewards[leaf]
    return {
        "id": record.id,
        "subject": record.subject,
        "answer": record.answer,
        "prompt": record.prompt,
        "text": text,
        "verdict": verdict.outcome,
        "reason": verdict.reason,
        "reward": None if math.isnan(reward) else reward,
    }
