"""The whole of params.yaml as one typed record, and the check of the whole file before anything is computed.

The sections' own records lie beside the code that they configure; this module only joins them, so stages never import it.
"""

from __future__ import annotations

import copy
import difflib
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from flows.graph.params_file import PARAMS, ParamsError, read_yaml
from pipelines.corpora.corpus_params import CorpusParams
from pipelines.evaluation.evaluate_params import EvaluateParams
from pipelines.models.base_params import BaseParams
from pipelines.settings import Seam, Settings, laid_over
from pipelines.training.policy_params import PolicyParams
from pipelines.training.supervised_params import SupervisedParams
from tasks.execution_params import ExecutionParams
from tasks.report_params import ReportParams


class Identity(Settings):
    """What belongs to the identity of every result."""

    seed: int = Field(0, ge=0, lt=2**31, description="seed of everything random")
    environment: tuple[str, ...] = Field(
        ("torch", "transformers", "deepspeed"),
        description="packages whose major.minor version is part of a stage's identity if it imports them",
    )


class Train(Settings):
    """What the stages after the corpora train on."""

    corpus: str = Field(description="the name of one corpus of the section `corpus`")


class Evaluate(Settings):
    """Which models are measured, and how."""

    models: tuple[str, ...] = Field(description="`base`, `sft` or names of rl.methods", min_length=1)
    settings: EvaluateParams


NOT_METHODS = ("methods", "common")  # keys of the section rl that are no presets


class Policies(Settings):
    """`methods` lists the stages rl@<method>; every other key but `common` is the preset of one method, laid over `common`."""

    methods: tuple[str, ...] = Field(description="presets that have a stage in the graph")
    common: dict[str, Any] = Field({}, description="what the presets share; each is laid over it")
    presets: dict[str, PolicyParams]

    @model_validator(mode="before")
    @classmethod
    def gather(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        common = value.get("common") or {}
        presets = {
            name: laid_over(common, preset) if isinstance(preset, dict) and isinstance(common, dict) else preset
            for name, preset in value.items()
            if name not in NOT_METHODS
        }
        return {"methods": value.get("methods", ()), "common": common, "presets": presets}


class Params(Settings):
    """params.yaml."""

    identity: Identity
    corpus: dict[str, CorpusParams] = Field(min_length=1)
    train: Train
    base: BaseParams
    sft: SupervisedParams
    rl: Policies
    evaluate: Evaluate
    report: ReportParams
    execution: ExecutionParams

    def section(self, dotted: str) -> Any:
        """The record or value of a section as dvc.yaml names it: `rl.grpo`, `corpus.exam`, `identity.seed`."""
        value: Any = self
        for part in dotted.split("."):
            if isinstance(value, Policies) and part not in NOT_METHODS:
                value = value.presets
            value = value[part] if isinstance(value, dict) else getattr(value, part)
        return value


def load(root: Path, name: str = PARAMS) -> Params:
    """Check the whole file; raise ParamsError with every problem at once."""
    return check(read_yaml(root / name), name)


def check(raw: dict[str, Any], name: str = PARAMS) -> Params:
    """The typed parameters, or ParamsError naming file, key, problem and, for an unknown key, the nearest known one."""
    problems: dict[str, str] = {}
    params = None
    data = copy.deepcopy(raw)
    for _ in range(8):  # contradictions are only seen among values that are right by themselves: drop the wrong ones and look again
        try:
            params = Params.model_validate(data)
            break
        except ValidationError as error:
            fresh, found = False, copy.deepcopy(data)
            for item in error.errors():
                path, text = _describe(item, found)
                key = ".".join(path) or "(file)"
                # a record without its wrong value may contradict itself only because the value is gone
                spurious = any(seen.startswith(key + ".") and not text_.startswith("unknown") for seen, text_ in problems.items())
                if key not in problems and not spurious:
                    problems[key] = text
                    fresh = True
                if item["type"] == "missing" or not _remove(data, path):
                    continue
            if not fresh:
                break
    for key, text in _contradictions(raw):
        problems.setdefault(key, text)
    if problems:
        raise ParamsError([f"{name}: {key}: {text}" for key, text in sorted(problems.items())])
    assert params is not None
    return params


def _describe(item: Any, raw: Any) -> tuple[list[str], str]:
    """(the key's path in the file, what is wrong with it) of one pydantic error."""
    path, known = _locate(raw, item["loc"])
    if item["type"] == "extra_forbidden":
        close = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
        return path, f"unknown, did you mean {close[0]}?" if close else f"unknown; known here: {', '.join(sorted(known))}"
    if item["type"] == "missing":
        return path, "missing"
    text = item["msg"].removeprefix("Value error, ")
    shown = item["input"]
    return path, text if isinstance(shown, (dict, list)) else f"{text} (found {shown!r})"


def _locate(raw: Any, loc: tuple[Any, ...]) -> tuple[list[str], list[str]]:
    """The path in the file that a pydantic location stands for, and the keys that are known beside its last part.

    Pydantic's locations also hold our own `presets` and the tags of unions, which the file does not; and a key of a method may stand
    in `rl.common`.
    """
    kind: Any = Params
    data, path = raw, list[str]()
    shared: Any = None  # beside `data`: the same place below rl.common, while inside a method
    for position, part in enumerate(loc):
        if part == "presets" and path == ["rl"]:
            kind, shared = Policies.model_fields["presets"].annotation, data.get("common")
            continue
        if isinstance(data, dict) and part not in data and isinstance(shared, dict) and part in shared and len(path) > 1:
            data, path = shared, ["rl", "common", *path[2:]]
        if position == len(loc) - 1:
            break
        if isinstance(data, dict) and part not in data:
            continue  # a union's tag; `_records` chooses by the data itself
        path.append(str(part))
        fields = [record.model_fields[str(part)] for record in _records(kind, data) if str(part) in record.model_fields]
        data = data[part] if isinstance(data, (dict, list)) else None
        kind = _chosen(fields[0], data) if fields else _item(kind)
        if len(path) > 2 and isinstance(shared, dict):
            shared = shared.get(str(part))
    return [*path, *(str(part) for part in loc[-1:])], [name for record in _records(kind, data) for name in record.model_fields]


def _chosen(field: FieldInfo, data: Any) -> Any:
    """The type of a field's value; at a seam, that of the options of the kind which the data names."""
    for seam in field.metadata:
        if isinstance(seam, Seam) and isinstance(data, dict) and data.get("kind") in seam.names():
            return seam.options(data["kind"])
    return field.annotation


def _records(kind: Any, data: Any) -> list[type[BaseModel]]:
    """The records that a value of this type may be; of a union only those whose literal fields agree with `data`."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    if typing.get_origin(kind) in (dict, list, tuple):
        return []
    found = [record for argument in typing.get_args(kind) for record in _records(argument, data)]
    return [record for record in found if _agrees(record, data)] or found


def _agrees(record: type[BaseModel], data: Any) -> bool:
    for name, field in record.model_fields.items():
        choices = typing.get_args(field.annotation) if typing.get_origin(field.annotation) is typing.Literal else ()
        if len(choices) == 1 and isinstance(data, dict) and name in data and data[name] != choices[0]:
            return False
    return True


def _item(kind: Any) -> Any:
    """The type of the values of a mapping or sequence, looked for through unions."""
    if typing.get_origin(kind) in (dict, list, tuple):
        return [argument for argument in typing.get_args(kind) if argument is not Ellipsis][-1]
    inner = [argument for argument in typing.get_args(kind) if typing.get_origin(argument) in (dict, list, tuple)]
    return _item(inner[0]) if inner else kind


def _remove(data: Any, path: list[str]) -> bool:
    for part in path[:-1]:
        try:
            data = data[int(part)] if isinstance(data, list) else data[part]
        except (KeyError, IndexError, TypeError, ValueError):
            return False
    if path and isinstance(data, dict) and path[-1] in data:
        del data[path[-1]]
        return True
    return False


def _contradictions(raw: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What two sections together must agree on; read from the raw file, so that it is said even when something else is wrong too."""

    def section(name: str) -> dict[str, Any]:
        value = raw.get(name)
        return value if isinstance(value, dict) else {}

    corpora, policies = section("corpus"), section("rl")
    chosen = section("train").get("corpus")
    if isinstance(chosen, str) and chosen not in corpora:
        yield "train.corpus", f"no corpus {chosen!r}; the section corpus holds: {', '.join(map(str, corpora)) or 'none'}"
    methods = policies.get("methods") or []
    presets = [name for name in policies if name not in NOT_METHODS]
    for method in methods if isinstance(methods, list) else []:
        if method not in presets:
            yield "rl.methods", f"{method!r} has no preset; add a section rl.{method} or choose of: {', '.join(presets)}"
    made = ["base", "sft", *(methods if isinstance(methods, list) else [])]
    models = section("evaluate").get("models") or []
    for model in models if isinstance(models, list) else []:
        if model not in made:
            yield "evaluate.models", f"no stage makes a model {model!r}; made are: {', '.join(map(str, made))}"
    for name in [*policies, *corpora]:
        if not str(name).replace("_", "").replace("-", "").isalnum():
            yield str(name), "names of methods and corpora are letters, digits, _ and - (they become stage and folder names)"
    for name in ("base", "sft"):
        if name in policies:
            yield f"rl.{name}", f"a method cannot be called {name}: that is a stage's model folder"
