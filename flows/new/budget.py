"""Sizes with which a recipe ends within some minutes on this machine: from shapes, and the measured speed of
a forward pass (flows/rehearsal/predict.py). They are lines of the recipe, to be read and changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.configured_run import on_meta_device
from flows.new.data import NewError
from flows.new.look import SetLook
from flows.rehearsal.predict import PASSES, SetSize, flops_per_second, passes
from pipelines.models.placement import Placement
from pipelines.training.memory import ModelShape

TRAINED, EVALUATED = 0.6, 0.2  # shares of the time; the rest is for loading and what a prediction misses
ITERATIONS = 20  # that a rung of LADDER should have room for
LADDER = ((64, 512), (32, 256), (16, 128), (8, 64), (8, 32))  # prompts an iteration, new tokens
BATCH, STEPS = 16, 10  # the batch that is taken where there is no room for STEPS of the usual one
# a few steps at the rates of long runs move nothing: low-rank adapters, which bear a larger one
SHORT = {"adapter": {"rank": 16}, "optimiser": {"learning_rate": 2.0e-4}}
FEWEST = {"iterations": 2, "steps": 2, "problems": 8}

Sizes = Mapping[tuple[str, str], SetSize]


def within(root: Path, minutes: float, value: dict[str, Any], params: Any, looks: Sequence[SetLook]) -> str:
    """Puts the sizes into `value`, the sections of the recipe that `params` resolves. Returns what they are
    based on. Raises NewError where the model is not at hand.
    """
    try:
        model = on_meta_device(root, params.base.runs["base"])
    except Exception as error:  # whatever a foreign config raises
        raise NewError(f"--minutes: the model's shape cannot be read: {error}") from error
    placement = Placement.resolve(params.execution.device, params.execution.dtype, params.execution.threads)
    flops, basis = flops_per_second(model, placement)
    room, sizes = minutes * 60 * flops / (2 * ModelShape.of(model).products), _sizes(looks)
    stages = [
        (family, name) for family in ("sft", "dpo", "rl") for name in value.get(family, {}).get("runs", {})
    ]
    for family, name in stages:
        run, share = getattr(params, family).runs[name], TRAINED * room / len(stages)
        chosen = _rl(run, sizes, share) if family == "rl" else _supervised(family, run, sizes, share)
        value[family]["runs"][name] |= chosen
        if family == "dpo" and chosen:  # the reference reads every pair of the set
            value["preferences"][run.data]["limits"] = {"train": chosen["steps"] * chosen["batch_size"]}
    if "evaluate" in value:
        _evaluation(value, params, sizes, EVALUATED * room)
    return f"sized for {minutes:g} minute{'' if minutes == 1 else 's'} on this machine; {basis}"


def _sizes(looks: Sequence[SetLook]) -> Sizes:
    """Returns rows and tokens by set and file, from the rows that were looked at."""
    sizes = {}
    for seen in looks:
        median = {name: lengths.median for name, lengths in seen.lengths.items()}
        prompt, rest = median.pop("prompt", 0), sum(median.values())
        for file, rows in seen.files.items():
            paired = file == "train"  # a prompt is read with each of the two answers
            whole = prompt + (0 if file in ("rl", "heldout", "validation") else prompt * paired + rest)
            sizes[seen.name, file] = SetSize(rows, float(max(1, whole)))
    return sizes


def _rl(run: Any, sizes: Sizes, share: float) -> dict[str, Any]:
    """Returns the sizes of a run of rl; none where its own have room."""
    if share >= passes("rl", run, sizes):
        return {}
    for prompts, tokens in LADDER:
        sampling = run.sampling.model_copy(update={"max_new_tokens": tokens})
        rung = run.model_copy(update={"iterations": 1, "prompts": prompts, "sampling": sampling})
        room = int(share / passes("rl", rung, sizes))
        if room >= ITERATIONS:
            break
    iterations = max(FEWEST["iterations"], min(run.iterations, room))
    return {"iterations": iterations, "prompts": prompts, "sampling": {"max_new_tokens": tokens}, **SHORT}


def _supervised(family: str, run: Any, sizes: Sizes, share: float) -> dict[str, Any]:
    """Returns the steps of a run of sft or dpo; none where one pass over its rows has room."""
    if share >= passes(family, run, sizes):
        return {}
    size = sizes.get((run.data, "train" if family == "dpo" else "sft"), SetSize(1, 512.0))
    rows = share / (PASSES * size.tokens)
    batch = run.batch_size if rows >= STEPS * run.batch_size else min(BATCH, run.batch_size)
    return {"steps": max(FEWEST["steps"], int(rows / batch)), "batch_size": batch, **SHORT}


def _evaluation(value: dict[str, Any], params: Any, sizes: Sizes, share: float) -> None:
    """Puts the limit of responses that was trained on, and the number of problems that has room."""
    limits = [
        run["sampling"]["max_new_tokens"]
        for run in value.get("rl", {}).get("runs", {}).values()
        if "sampling" in run
    ]
    runs = params.evaluate.runs.values()
    common = dict(value["evaluate"].get("common", {}))
    if limits:
        common["sampling"] = {"max_new_tokens": max(limits)}
    tokens = max(limits, default=next(iter(runs)).sampling.max_new_tokens)
    held = {run.data: sizes.get((run.data, "heldout"), SetSize(0, 1.0)) for run in runs}
    a_problem = sum((held[run.data].tokens + tokens) * (1 + run.samples) for run in runs)
    if share < a_problem * max(size.rows for size in held.values()):
        common["problems"] = max(FEWEST["problems"], int(share / a_problem))
    if common:
        value["evaluate"] = {
            "common": common,
            **{key: item for key, item in value["evaluate"].items() if key != "common"},
        }
