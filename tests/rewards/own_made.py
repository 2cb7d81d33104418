"""Reward files as users write them, laid into a folder that stands for the project, and responses to judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.corpora.records.record import Record
from pipelines.rewards.judge import Response
from pipelines.rewards.own.function import FunctionJudge
from pipelines.settings import JUDGE

# Files for TRL's GRPOTrainer, as its documentation and its users write them: nothing here is known to this
# project.
TRL = '''
import asyncio
import math
import re
from collections.abc import Callable


def format_reward(completions, **kwargs):
    """1 where the reasoning stands in its tags, of conversational completions."""
    contents = [completion[0]["content"] for completion in completions]
    return [1.0 if re.match(r"^<think>.*?</think>\\n?<answer>.*?</answer>$", text, re.S) else 0.0
            for text in contents]


def boxed_accuracy(completions, ground_truth, **kwargs):
    matches = [re.search(r"\\\\boxed\\{(.*?)\\}", completion) for completion in completions]
    contents = [match.group(1) if match else "" for match in matches]
    return [1.0 if text == truth else 0.0 for text, truth in zip(contents, ground_truth)]


def verified_accuracy(
    completions: list[list[dict[str, str]]],
    solution: list[str],
    log_extra: Callable[[str, list], None] | None = None,
    **kwargs,
) -> list[float | None]:
    from math_verify import parse, verify

    golds = [parse(text) for text in solution]
    answers = [parse(completion[0]["content"]) for completion in completions]
    log_extra("gold", [str(gold) for gold in golds])
    return [float(verify(gold, answer)) if gold else None for gold, answer in zip(golds, answers)]


def token_length(completion_ids, log_metric=None, **kwargs):
    log_metric("longest", max(map(len, completion_ids)))
    return [-float(len(ids)) for ids in completion_ids]


def documented_length(completions_ids, **kwargs):
    return [float(len(ids)) for ids in completions_ids]


class SoftOverlong:
    __name__ = "soft_overlong"

    def __init__(self, limit, cache):
        self.limit, self.cache = limit, cache

    def __call__(self, completion_ids, **kwargs):
        over = [max(0, len(ids) - (self.limit - self.cache)) for ids in completion_ids]
        return [-min(1.0, excess / self.cache) for excess in over]


soft_overlong = SoftOverlong(4, 2)


async def slow_judge(prompts, completions, **kwargs):
    async def one(prompt, completion):
        await asyncio.sleep(0.01)
        return float(completion in prompt)

    return await asyncio.gather(*(one(*pair) for pair in zip(prompts, completions)))


def math_only(prompts, completions, task, **kwargs):
    return [len(c) / 10 if t == "math" else None for c, t in zip(completions, task)]


def by_progress(completions, trainer_state, **kwargs):
    return [float(trainer_state.global_step) for _ in completions]


def as_array(completions, **kwargs):
    import numpy
    return numpy.array([math.sqrt(len(c)) for c in completions])


def strict_keywords(prompts, completions, difficulty):
    return [float(d) for d in difficulty]
'''


def lay(folder: Path, monkeypatch: Any, **files: str) -> Path:
    """Write `my_rewards=…` as my_rewards.py into a folder, which is the project's from now on."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.setattr("pipelines.rewards.own.place.ROOT", folder)
    return folder


def question(answer: str = "4", prompt: str = "2 + 2 = ?", **columns: Any) -> Record:
    return Record("q", prompt, None, answer, "sums", 2, "made", [1], None, {"columns": columns})


def chat(*turns: tuple[str, str], **columns: Any) -> Record:
    """A question that the data holds as turns."""
    messages = [{"role": role, "content": text} for role, text in turns]
    meta = {"columns": columns}
    return Record("q", turns[-1][1], None, "4", "", None, "made", [1], None, meta, {"messages": messages})


def responses(record: Record, *texts: str) -> list[Response]:
    return [Response(record, tuple(range(len(text))), text, True) for text in texts]


def function(path: str, **options: Any) -> FunctionJudge:
    return FunctionJudge(JUDGE.choose({"kind": "function", "path": path, **options}))
