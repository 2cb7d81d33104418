"""The JSON schemas of params.yaml and of recipes: a real validator takes what is right, and refuses what is
wrong where it is wrong.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import pytest
from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError as Refused
from pydantic import TypeAdapter, ValidationError

from flows import params_page
from flows.graph import recipes
from flows.graph.params import check
from flows.graph.params_file import PARAMS, ParamsError, read_yaml
from flows.graph.params_schema import params_schema
from pipelines.settings import Settings
from tests.flows.toy import ROOT

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
GONE = object()


@cache
def schema(name: str) -> Draft7Validator:
    return Draft7Validator(json.loads((ROOT / name).read_text("utf-8")))


PARAMS_SCHEMA, RECIPE_SCHEMA = params_page.PARAMS_SCHEMA, params_page.RECIPE_SCHEMA


def problems(name: str, document: Any) -> list[tuple[str, str]]:
    """(key, message) of everything that the validator says, alternatives taken apart."""
    found = []
    for error in schema(name).iter_errors(document):
        inner = list(_leaves(error))
        found += [(".".join(map(str, one.absolute_path)), one.message) for one in inner]
    return found


def _leaves(error: Refused) -> Iterator[Refused]:
    if not error.context:
        yield error
    for inner in error.context or ():
        yield from _leaves(inner)


@pytest.mark.parametrize("name", [PARAMS_SCHEMA, RECIPE_SCHEMA])
def test_the_schemas_are_schemas(name: str) -> None:
    Draft7Validator.check_schema(json.loads((ROOT / name).read_text("utf-8")))


def test_generated_files_are_up_to_date() -> None:
    stale = [
        path
        for path, text in params_page.written(ROOT).items()
        if not (ROOT / path).exists() or (ROOT / path).read_text() != text
    ]
    assert not stale, f"{', '.join(stale)}: made from older code; run `{params_page.COMMAND}`"


def test_params_yaml_is_right() -> None:
    assert problems(PARAMS_SCHEMA, read_yaml(ROOT / PARAMS)) == []


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_are_right(path: Path) -> None:
    assert problems(RECIPE_SCHEMA, read_yaml(path)) == []


def test_files_name_their_schema_in_the_first_line() -> None:
    for path in (ROOT / PARAMS, *RECIPES):
        first = path.read_text("utf-8").partition("\n")[0]
        marker, _, named = first.partition("$schema=")
        assert marker == "# yaml-language-server: ", path
        wanted = PARAMS_SCHEMA if path.name == PARAMS else RECIPE_SCHEMA
        assert (path.parent / named).resolve() == (ROOT / wanted).resolve()


def test_use_keeps_the_first_line_and_going_back_is_exact(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    for path in RECIPES:
        (tmp_path / "recipes" / path.name).write_text(path.read_text())
    for name in ("dvc.yaml", "presets.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    text = (ROOT / PARAMS).read_text()
    (tmp_path / PARAMS).write_text(text)
    recipes.use(tmp_path, "quick")
    laid = (tmp_path / PARAMS).read_text()
    assert laid != text
    assert laid.splitlines()[0] == text.splitlines()[0]
    assert problems(PARAMS_SCHEMA, read_yaml(tmp_path / PARAMS)) == []
    recipes.use(tmp_path, "default")
    assert (tmp_path / PARAMS).read_text() == text


# key, value, the key that is said to be wrong, words of the message
WRONG: list[tuple[str, Any, str, str]] = [
    ("sft.common.stepz", 10, "sft.common", "'stepz'"),
    ("sectoin", {}, "", "'sectoin'"),
    ("sft.common.batch_size", "many", "sft.common.batch_size", "not of type 'integer'"),
    ("sft.common.steps", 0, "sft.common.steps", "minimum"),
    ("sft.common.steps", [100], "sft.common.steps", "not of type"),
    ("identity.seed", -1, "identity.seed", "minimum"),
    ("identity.seed", 2**31, "identity.seed", "maximum"),
    ("sft.common.optimiser.kind", "adam", "sft.common.optimiser.kind", "not one of"),
    ("sft.common.optimiser.betas", [0.9], "sft.common.optimiser.betas", "too short"),
    ("sft.common.optimiser.learning_rate", None, "sft.common.optimiser.learning_rate", "None"),
    ("base.runs.base.tokenizer.kind", "word", "base.runs.base.tokenizer.kind", "not one of"),
    ("base.runs.base.tokenizer.vocab_size", 2, "base.runs.base.tokenizer.vocab_size", "minimum"),
    ("corpus.exam.reward", "finalanswer", "corpus.exam.reward", "not one of"),
    ("corpus.exam.sources.exam.reader", "exams", "corpus.exam.sources.exam.reader", "not one of"),
    ("corpus.exam.sources.exam.level", 1, "corpus.exam.sources.exam", "'level'"),
    ("corpus.exam.raw", GONE, "corpus.exam", "'raw' is a required"),
    ("dpo.common.loss", {"kind": "dpoo"}, "dpo.common.loss.kind", "not one of"),
    ("dpo.common.loss", "dpoo", "dpo.common.loss", "not one of"),
    ("dpo.common.loss.betta", 0.1, "dpo.common.loss", "'betta'"),
    ("dpo.common.loss", {"betta": 0.1}, "dpo.common.loss", "'betta'"),
    ("dpo.common.loss", {"kind": "ipo", "smoothing": 0.1}, "dpo.common.loss", "'smoothing'"),
    ("dpo.common.loss.beta", "strong", "dpo.common.loss.beta", "not of type"),
    ("dpo.runs.dpo.epoch", 2, "dpo.runs.dpo", "'epoch'"),
    ("dpo.runs.dpo.start", GONE, "dpo.runs.dpo", "'start' is a required"),
    ("evaluate.runs", ["sft"], "evaluate.runs", "not of type 'object'"),
    ("wins.checker.matches.0", ["sft"], "wins.checker.matches.0", "too short"),
    ("execution.threads", 1.5, "execution.threads", "not of type 'integer'"),
]
ids = [f"{key}={'gone' if value is GONE else value}" for key, value, *_ in WRONG]


def edited(key: str, value: Any) -> Any:
    document = copy.deepcopy(read_yaml(ROOT / PARAMS))
    *parents, last = key.split(".")
    place: Any = document
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    if value is GONE:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return document


@pytest.mark.parametrize(("key", "value", "where", "words"), WRONG, ids=ids)
def test_what_is_wrong_is_refused_where_it_is_wrong(key: str, value: Any, where: str, words: str) -> None:
    document = edited(key, value)
    found = problems(PARAMS_SCHEMA, document)
    assert any(place == where and words in message for place, message in found), found
    with pytest.raises(ParamsError):
        check(document)


@pytest.mark.parametrize(
    ("key", "value", "where", "words"), [row for row in WRONG if row[1] not in (None, GONE)]
)
def test_a_recipe_is_refused_for_the_same(key: str, value: Any, where: str, words: str) -> None:
    if ".matches." in key:
        return  # a list is replaced whole
    recipe: Any = value
    for part in reversed(key.split(".")):
        recipe = {part: recipe}
    found = problems(RECIPE_SCHEMA, recipe)
    assert any(place == where for place, _ in found), found


@pytest.mark.parametrize(
    "recipe",
    [
        {"dpo": None},
        {"dpo": {"runs": {"dpo": None, "mine": {"loss": {"beta": 0.2}}}}},  # of which kind stands below
        {"sft": {"common": {"steps": None}}, "base": {"runs": {"base": {"tokenizer": {"vocab_size": 200}}}}},
        {"corpus": {"mine": {"raw": "raw/mine"}}},
        {"extends": ["quick", "default"]},
    ],
)
def test_recipes_may_be_partial_and_take_out(recipe: Any) -> None:
    assert problems(RECIPE_SCHEMA, recipe) == []


def test_a_section_of_a_stage_of_ones_own_is_allowed(tmp_path: Path) -> None:
    stage = "  mine:\n    cmd: python mine.py\n    params: [own_section]\n    outs: [data/mine]\n"
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text() + stage)
    own = Draft7Validator(params_schema(tmp_path))
    document = {**read_yaml(ROOT / PARAMS), "own_section": {"anything": [1, "a"]}}
    assert not list(own.iter_errors(document))
    assert [error.message for error in schema(PARAMS_SCHEMA).iter_errors(document)]
    assert list(own.iter_errors({**document, "own_sectoin": 1}))


# What pydantic says of a value for one field, and what the schema says, of every field of every record.
PROBES: list[Any] = [
    *(None, True, "", "x", "null", [], [1], ["x"], [0.5, 0.5], [1, 2, 3], {}, {"a": 1}, {"kind": "x"}),
    *(-(10**12), -2, -1, -0.5, 0, 1e-9, 0.5, 0.999, 1, 1.5, 2, 17, 101, 10**12),
]


def records(kind: type[Settings] = Settings) -> Iterator[type[Settings]]:
    for record in kind.__subclasses__():
        yield record
        yield from records(record)


def fields() -> dict[str, tuple[type[Settings], Any]]:
    """`Record.field` -> the record and the schema of the field."""
    definitions = schema(PARAMS_SCHEMA).schema["$defs"]
    known = {record.__name__: record for record in records()}
    return {
        f"{name}.{key}": (known[name], node)
        for name, definition in definitions.items()
        if name in known
        for key, node in definition.get("properties", {}).items()
        if key in known[name].model_fields
    }


def refusal(adapter: TypeAdapter[Any], probe: Any, strict: bool) -> str | None:
    """What pydantic says against a value as a file holds it; of validators in Python, as contradictions are,
    the schema knows nothing.
    """
    try:
        adapter.validate_json(json.dumps(probe), strict=strict)
    except ValidationError as error:
        own = any(one["type"] == "value_error" for one in error.errors())
        return None if own and not strict else str(error.errors()[0]["msg"])
    return None


@pytest.mark.filterwarnings("ignore:.*validated data.*", "ignore:.*validate_default.*")
def test_the_schema_agrees_with_pydantic() -> None:
    found, tried = [], 0
    validator = schema(PARAMS_SCHEMA)
    for name, (record, node) in fields().items():
        field = record.model_fields[name.partition(".")[2]]
        adapter = TypeAdapter(Annotated[field.annotation, field])
        for probe in PROBES:
            takes, tried = (
                validator.evolve(schema={**node, "$defs": validator.schema["$defs"]}).is_valid(probe),
                tried + 1,
            )
            if takes and (refused := refusal(adapter, probe, strict=False)):
                found.append(f"{name} = {probe!r}: pydantic refuses it ({refused}), the schema does not")
            if not takes and refusal(adapter, probe, strict=True) is None:
                found.append(f"{name} = {probe!r}: the schema refuses it, pydantic does not")
    assert found == []
    assert tried > 8000
