"""`whetstone params`: every key has a meaning, and the command says type, range, default, value, unit and
source of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from flows.graph.params_file import PARAMS, read_yaml
from flows.graph.params_keys import ITEM, NAME, Keys, shown, words
from flows.graph.params_schema import params_schema
from flows.graph.presets import PRESETS_FILE
from flows.params_command import Values, as_dict
from tests.flows.toy import ROOT


@cache
def keys() -> Keys:
    return Keys(params_schema(ROOT))


def facts(name: str) -> dict[str, Any]:
    values = Values(ROOT)
    (found,) = keys().find(name, values.laid)
    return as_dict(keys(), found, values)


def whetstone(*arguments: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    env = {"COLUMNS": str(columns), "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    command = [sys.executable, "-m", "flows", "params", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)


def test_every_key_has_a_meaning() -> None:
    silent = {
        f"{key.source}: {key.path[-1]}"
        for key in keys().every()
        if not keys().meaning(key) and key.path[-1] not in (NAME, ITEM)
    }
    known = [key for key in keys().every() if "kind" in key.path[-1:]]
    assert known
    assert not {row for row in silent if not row.endswith((": kind", ": reader"))}, "add Field(description=…)"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "sft.common.optimiser.learning_rate",
            {
                "type": "number in (0, 1]",
                "default": 1e-05,
                "source": "pipelines/training/options.py",
            },
        ),
        ("sft.common.steps", {"type": "integer ≥ 1 or null", "unit": "steps", "default": None}),
        ("execution.grace_s", {"unit": "seconds"}),
        ("corpus.*.max_bad_rows", {"type": "number in [0, 1)", "unit": "share", "default": 0.01}),
        ("corpus.NAME.max_prompt_tokens", {"unit": "tokens", "key": "corpus.NAME.max_prompt_tokens"}),
        ("corpus.exam.raw", {"needed": True, "type": "text"}),
        ("sft.common.optimiser.betas", {"type": "list of 2 x number", "unit": None}),
        ("base.common.architecture.family", {"type": "one of qwen2, llama", "enum": ["qwen2", "llama"]}),
        (
            "corpus.exam.sources.exam.slip",
            {"kind": "exam", "value": 0.0, "from": "default"},
        ),
    ],
)
def test_what_is_said_of_a_key(name: str, said: dict[str, Any]) -> None:
    found = facts(name)
    assert {key: found.get(key) for key in said} == said


def test_where_a_value_comes_from() -> None:
    raw = read_yaml(ROOT / PARAMS)
    assert "epochs" in raw["dpo"]["common"]
    assert "epochs" not in raw["dpo"]["runs"]["dpo"]
    assert facts("dpo.runs.dpo.epochs")["from"] == "dpo.common.epochs"
    assert facts("dpo.runs.dpo.start")["from"] == "dpo.runs.dpo.start"
    assert facts("dpo.runs.dpo.optimiser.kind") | {"value": "adamw", "from": "default"} == facts(
        "dpo.runs.dpo.optimiser.kind"
    )
    beta = facts("dpo.runs.dpo.loss.beta")
    assert (beta["kind"], beta["value"], beta["from"]) == (
        "dpo",
        0.1,
        "default",
    )
    assert "value" not in facts("dpo.runs.*.epochs")
    of_preset, own = facts("rl.runs.grpo.sampler.samples"), facts("rl.runs.grpo.validation_every")
    assert (of_preset["from"], of_preset["file"]) == ("rl.presets.grpo.sampler.samples", PRESETS_FILE)
    assert (own["from"], own["file"]) == ("rl.common.validation_every", PARAMS)
    limit = Values(ROOT).of("preferences.exam_pairs.max_answer_tokens")
    assert limit is not None
    assert limit.sentence("preferences.exam_pairs.max_answer_tokens").startswith(
        "params.yaml: corpus.exam.max_resp"
    )
    now = Values(ROOT).of("rl.runs.grpo.reward")
    assert now is not None
    assert now.sentence("rl.runs.grpo.reward") == "the default of corpus.exam.reward"
    now = Values(ROOT).of("rl.runs.grpo.sampler.samples")
    assert now is not None
    assert now.sentence("rl.runs.grpo.sampler.samples").startswith("presets.yaml: rl.presets.grpo.")


def test_values_are_those_that_the_stages_get() -> None:
    """Every value below a record of the file, laid over what it is laid over, is the typed record's."""
    values, wrong, seen = Values(ROOT), [], 0
    assert values.typed is not None
    for name in (
        "sft.runs.sft",
        "base.runs.base",
        "corpus.exam",
        "dpo.runs.dpo",
        "execution",
        "evaluate.runs.sft",
    ):
        (key,) = keys().find(name, values.laid)
        record = values.typed.section(name)
        for child in keys().children(key):
            if now := values.of(child.name):
                seen += 1
                typed = getattr(record, child.path[-1])
                if now.value != (list(typed) if isinstance(typed, tuple) else typed) and not hasattr(
                    typed, "kind"
                ):
                    wrong.append((child.name, now.value, typed))
    assert wrong == []
    assert seen > 50


def test_a_choice_has_its_kinds_with_the_first_line_of_each_module() -> None:
    found = facts("dpo.common.loss")
    assert {"dpo", "ipo", "cdpo"} <= found["kinds"].keys()
    assert all(found["kinds"].values())
    assert {(key["kind"], key["key"].rpartition(".")[2]) for key in found["keys"]} >= {
        ("cdpo", "smoothing"),
        ("ipo", "beta"),
    }


def test_search_finds_names_first_and_meanings_after() -> None:
    found = [key.path[-1] for key in keys().search("clip")]
    assert found[0].count("clip")
    assert any("clip" not in name for name in found)  # by its meaning


def test_nearest_keys() -> None:
    assert keys().nearest("sft.common.optimizer.learning_rate")[0] == "sft.common.optimiser"
    assert "sft.common.optimiser.learning_rate" in keys().nearest("sft.common.optimiser.learning_rates")
    assert keys().find("sft.common.nothing") == []


def test_words() -> None:
    assert words(keys(), {"type": "integer", "minimum": 1, "exclusiveMaximum": 64}) == "integer in [1, 64)"
    assert words(keys(), {"type": "number", "exclusiveMinimum": 0}) == "number > 0"
    assert (
        words(keys(), {"type": "array", "items": {"type": "string"}, "minItems": 1})
        == "list of text, at least 1"
    )
    assert [shown(value) for value in (None, True, "a/b", "#### ", 1e-8, {"kind": "x", "of": [1]})] == [
        *("null", "true", "a/b", '"#### "', "1e-08", "{kind: x, of: [1]}")
    ]


def test_the_command_in_the_repository() -> None:
    sections = whetstone()
    assert sections.returncode == 0, sections.stderr
    assert {
        line.split()[0] for line in sections.stdout.splitlines() if line.startswith("  ") and line[2] != " "
    } >= {
        "corpus",
        "sft",
        "dpo",
    }
    record = whetstone("sft.common.optimiser")
    assert "learning_rate = 0.003" in record.stdout
    assert "number in (0, 1], default 1e-05" in record.stdout
    found = whetstone("--find", "clip")
    assert "grad_clip" in found.stdout
    unknown = whetstone("sft.common.stepz")
    assert unknown.returncode == 2
    assert "sft.common.steps" in unknown.stderr
    for done in (sections, record, found):
        assert max(map(len, done.stdout.splitlines())) <= 80
    (said,) = json.loads(whetstone("sft.common.steps", "--json").stdout)
    assert (said["key"], said["from"], said["unit"]) == ("sft.common.steps", "sft.common.steps", "steps")


def test_the_command_needs_no_torch() -> None:
    code = "import sys, flows.params_command as c, flows.params_page as p; from pathlib import Path; p.written(Path('.')); "
    code += "sys.exit(' '.join(m for m in ('torch', 'transformers', 'dvc', 'prefect', 'mlflow') if m in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
