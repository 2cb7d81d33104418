"""Pydantic errors in terms of params.yaml: the key as it stands in the file, what is wrong, and the nearest
known key.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from flows.graph.families import at, overlays, resolved
from flows.graph.refused_options import RefusingChoice
from pipelines.settings import Seam

# (section, key) or ("", section) of earlier releases -> where it stands now
MOVED = {
    ("corpus", "tokenizer"): "a tokenizer belongs to a model now, base.runs.NAME.tokenizer",
    ("corpus", "template"): "a template belongs to a model now, base.runs.NAME.template",
    ("", "rlvr_set"): "its sets are sets of corpus now, with origin -> raw and verifier: {explore, calib}",
    ("", "train"): "runs name their data now, sft.runs.NAME.data",
    ("", "rlvr"): "its runs are runs of rl now",
}

# names of TRL and transformers -> what stands for them here
ELSEWHERE = {
    "lr": "optimiser.learning_rate",
    "learning_rate": "optimiser.learning_rate",
    "weight_decay": "optimiser.weight_decay",
    "max_grad_norm": "optimiser.grad_clip",
    "warmup_ratio": "schedule.warmup",
    "lr_scheduler_type": "schedule.decay",
    "max_steps": "steps",
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "batch_size, of all processes together",
    "gradient_accumulation_steps": "batch_size; execution.micro_batch_tokens says what is computed at once",
    "num_generations": "sampler.samples",
    "max_completion_length": "sampling.max_new_tokens",
    "max_new_tokens": "sampling.max_new_tokens",
    "temperature": "sampling.temperature",
    "max_length": "max_tokens",
    "max_prompt_length": "max_prompt_tokens of the set of questions or pairs",
    "beta": "loss.beta in dpo, kl.coef in rl",
    "epsilon_high": "objective.high",
    "reward_funcs": "reward",
    "peft_config": "adapter",
}


def describe(item: Any, raw: Any, root: type[BaseModel]) -> tuple[list[str], str]:
    """Returns (the key's path in the file, what is wrong with it) for one pydantic error of the record
    `root`.
    """
    path, known, field = _locate(raw, item["loc"], root)
    if item["type"] == "extra_forbidden":
        if hint := MOVED.get((path[0], path[-1])) or MOVED.get(("", path[0])):
            return path, f"unknown: {hint}"
        if hint := ELSEWHERE.get(path[-1]):
            return path, f"unknown: here it is {hint}"
        if choice := RefusingChoice.of(raw, item["loc"], field):
            if reason := choice.reason(path):
                return path, reason
            known = choice.known or known
        close = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
        return (
            path,
            f"unknown, did you mean {close[0]}?"
            if close
            else f"unknown; known here: {', '.join(sorted(known))}",
        )
    if item["type"] == "missing":
        return path, "missing"
    text = item["msg"].removeprefix("Value error, ").replace("valid tuple", "list")  # YAML knows no tuples
    value = item["input"]
    return path, text if isinstance(value, (dict, list)) else f"{text} (found {value!r})"


def _locate(
    raw: Any, loc: tuple[Any, ...], root: type[BaseModel]
) -> tuple[list[str], list[str], FieldInfo | None]:
    """Returns the path in the file that a pydantic location means, the keys that are known beside its last
    part, and the field whose value holds them, where it is one.

    Pydantic's locations also contain the tags of unions, which the file does not have; and a key of a run or
    method may stand in what it is laid over.
    """
    kind: Any = root
    field: FieldInfo | None = None
    data, path = raw, list[str]()
    # inside a member: the same place in what it is laid over, the uppermost first
    layers: list[tuple[list[str], Any]] = []
    for position, part in enumerate(loc):
        if isinstance(data, dict) and part not in data:
            holders = [
                index
                for index, (_, shared) in enumerate(layers)
                if isinstance(shared, dict) and part in shared
            ]
            if holders:
                path, data = layers[holders[0]]
                layers = layers[holders[0] + 1 :]
        if position == len(loc) - 1:
            break
        if isinstance(data, dict) and part not in data:
            continue  # a union's tag; `_records` chooses by the data itself
        item = data.get(part) if isinstance(data, dict) else None
        shared_by = [resolved(layer, item) for layer in overlays().get(tuple(path), ())]
        path = [*path, str(part)]
        fields = [
            record.model_fields[str(part)]
            for record in _records(kind, data)
            if str(part) in record.model_fields
        ]
        data = data[part] if isinstance(data, (dict, list)) else None
        field = fields[0] if fields else None
        kind = _chosen(field, data) if field else _item(kind)
        below = [
            ([*layer_path, str(part)], shared.get(str(part)))
            for layer_path, shared in layers
            if isinstance(shared, dict)
        ]
        layers = [(list(layer), at(raw, layer)) for layer in reversed(shared_by)] or below
    known = [name for record in _records(kind, data) for name in record.model_fields]
    return [*path, *(str(part) for part in loc[-1:])], known, field


def _chosen(field: FieldInfo, data: Any) -> Any:
    """Returns the type of a field's value; at a seam, the options record of the kind that the data names."""
    return _options(field.metadata, data) or field.annotation


def _options(marks: Iterable[Any], data: Any) -> type[BaseModel] | None:
    """Returns the options record of the kind that the data names at a seam; None where it names none."""
    for seam in marks:
        if isinstance(seam, Seam) and isinstance(data, dict):
            name = data.get(seam.record.tag)
            if isinstance(name, str) and name in seam:
                return seam.options(name)
    return None


def _records(kind: Any, data: Any) -> list[type[BaseModel]]:
    """Returns the records that a value of this type may be; of a union only those whose literal fields match
    `data`.
    """
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    if typing.get_origin(kind) in (dict, list, tuple):
        return []
    if typing.get_origin(kind) is typing.Annotated:
        options = _options(kind.__metadata__, data)
        return [options] if options else _records(kind.__origin__, data)
    records = [record for argument in typing.get_args(kind) for record in _records(argument, data)]
    return [record for record in records if _agrees(record, data)] or records


def _agrees(record: type[BaseModel], data: Any) -> bool:
    for name, field in record.model_fields.items():
        choices = (
            typing.get_args(field.annotation) if typing.get_origin(field.annotation) is typing.Literal else ()
        )
        if len(choices) == 1 and isinstance(data, dict) and name in data and data[name] != choices[0]:
            return False
    return True


def _item(kind: Any) -> Any:
    """Returns the type of a mapping's or sequence's values, also inside unions."""
    if typing.get_origin(kind) in (dict, list, tuple):
        return [argument for argument in typing.get_args(kind) if argument is not Ellipsis][-1]
    inner = [
        argument for argument in typing.get_args(kind) if typing.get_origin(argument) in (dict, list, tuple)
    ]
    return _item(inner[0]) if inner else kind


def remove(data: Any, path: list[str]) -> bool:
    """Remove the value at `path` from nested data. Returns False when there is none."""
    for part in path[:-1]:
        try:
            data = data[int(part)] if isinstance(data, list) else data[part]
        except (KeyError, IndexError, TypeError, ValueError):
            return False
    if path and isinstance(data, dict) and path[-1] in data:
        del data[path[-1]]
        return True
    return False
