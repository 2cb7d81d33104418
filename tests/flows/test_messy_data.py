"""`whetstone new` on files as they are in real life: rows, or a report that names file, row and way out, and
never a traceback; and the recipe that it writes makes its stage read just the rows that it spoke of.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from flows.cli import app
from flows.graph.params_file import read_yaml
from flows.new.data import Part
from flows.new.look import SEED
from flows.new.recipe import _source
from pipelines.corpora.build import build
from pipelines.corpora.cleaning.split import Shares
from pipelines.corpora.corpus_params import CorpusParams
from pipelines.corpora.layouts import UnknownLayout, layout_of
from pipelines.corpora.pairs.options import TrlParams
from pipelines.corpora.preferences.pair_rows import PairReading
from pipelines.corpora.preferences.preference_set import build_preferences, read_source
from pipelines.corpora.raw.ledger import Ledger
from pipelines.corpora.raw.problem import Reading
from pipelines.seams import load
from tasks.preferences_params import PreferenceSet
from tests.flows.messy import MESSY, SUMS, Messy, lines
from tests.flows.new_made import LAYOUTS, make_project, write


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    before, root = Path.cwd(), make_project(tmp_path_factory.mktemp("messy"))
    os.chdir(root)
    yield root
    os.chdir(before)


def given_files(root: Path, name: str, messy: Messy) -> str:
    folder = root / "raw" / name
    folder.mkdir()
    messy.write(folder / messy.file)
    return f"raw/{name}/{messy.file}"


def new(root: Path, name: str, data: str, *more: str) -> Result:
    os.chdir(root)
    return CliRunner().invoke(app, ["new", name, "--model", "assets/llm", "--data", data, "--json", *more])


def stage_rows(root: Path, name: str) -> dict[str, Any]:
    """What the stages of the recipe keep and lose, by set; `new` has checked the recipe as a whole."""
    recipe, rows = read_yaml(root / f"recipes/{name}.yaml"), {}
    for key, value in recipe.get("corpus", {}).items():
        corpus = CorpusParams.model_validate(value)
        rows[key] = build(key, corpus, Path(corpus.raw), SEED, root / "work" / name, processes=1).metrics
    for key, value in recipe.get("preferences", {}).items():
        pairs = PreferenceSet.model_validate(value)
        items = read_source(key, pairs, Path(pairs.origin), SEED)
        rows[key] = build_preferences(key, pairs, items, {}, SEED).metrics
    return {key: metrics["rows"] for key, metrics in rows.items()}


@pytest.mark.parametrize("name", MESSY)
def test_rows_or_a_report(root: Path, name: str):
    messy = MESSY[name]
    result = new(root, name, given_files(root, name, messy))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    said = json.loads(result.stdout)
    if messy.kept is None:
        assert result.exit_code == 2
        told = "\n".join(said["error"])
        assert re.search(messy.told, told)
        assert messy.file in told
        assert not (root / f"recipes/{name}.yaml").exists()
        return
    assert result.exit_code == 0
    assert sum(seen["rows"]["kept"] for seen in said["sets"]) == messy.kept
    bad = [line for seen in said["sets"] for line in seen["bad"]]
    assert re.search(messy.told, "\n".join(bad))
    assert all(messy.file in line for line in bad)
    assert stage_rows(root, name) == {seen["name"]: seen["rows"] for seen in said["sets"]}


def test_bad_rows_of_a_large_file_are_told_by_their_place(root: Path):
    rows = [{"question": f"{n} + 1?", "answer": str(n + 1)} for n in range(2100)]
    messy = Messy("a.jsonl", lines([*rows[:300], "{", *rows[300:]]), None)
    (seen,) = json.loads(new(root, "large", given_files(root, "large", messy)).stdout)["sets"]
    assert seen["first_rows_only"]
    assert (seen["rows"]["read"], seen["rows"]["lost"]["bad rows"]) == (2001, 1)
    assert seen["bad"] == [
        "raw/large/a.jsonl:301: not JSON: Expecting property name enclosed in double quotes: line 2 column 1 "
        "(char 2)"
    ]


def test_a_reward_reads_the_columns_that_json_holds(root: Path, monkeypatch: pytest.MonkeyPatch):
    (root / "rewards.py").write_text(
        "def short(completions, **columns):\n    return [1.0] * len(completions)\n"
    )
    monkeypatch.setattr("pipelines.rewards.own.place.ROOT", root)
    path = given_files(root, "kept", MESSY["parquet_typed"])
    result = new(root, "kept", path, "--reward", "rewards.py:short")
    assert json.loads(result.stdout)["sets"][0]["rows"]["kept"] == 40
    (source,) = read_yaml(root / "recipes/kept.yaml")["corpus"]["kept"]["sources"].values()
    assert source["keep"] == ["extra"]
    assert stage_rows(root, "kept")["kept"]["kept"] == 40


def test_several_methods_of_one_family(root: Path):
    write(root / "raw/liked.jsonl", LAYOUTS["preference"][1])
    new(root, "losses", "raw/liked.jsonl", "--method", "dpo", "--method", "ipo")
    write(root / "raw/sums.jsonl", SUMS)
    new(root, "policies", "raw/sums.jsonl", "--method", "grpo", "--method", "rloo")
    recipe = read_yaml(root / "recipes/losses.yaml")
    assert {name: run["start"] for name, run in recipe["dpo"]["runs"].items()} == {
        "dpo": "base",
        "ipo": "dpo",
    }
    recipe = read_yaml(root / "recipes/policies.yaml")
    assert {name: run["start"] for name, run in recipe["rl"]["runs"].items()} == {
        "grpo": "base",
        "rloo": "grpo",
    }


def test_a_rule_wants_answers(root: Path):
    write(root / "raw/asked.jsonl", [{"prompt": row["question"]} for row in SUMS])
    result = new(root, "asked", "raw/asked.jsonl", "--reward", "math_answer")
    assert result.exit_code == 2
    assert "the rule math_answer compares with answers" in str(json.loads(result.stdout))


@pytest.mark.parametrize("name", ["third_bad", "binary"])
def test_as_a_process(root: Path, name: str):
    messy = MESSY[name]
    path = given_files(root, f"{name}_process", messy)
    done = subprocess.run(
        [sys.executable, "-m", "flows", "new", f"{name}_process", "--model", "assets/llm", "--data", path],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == (2 if messy.kept is None else 0)
    assert re.search(messy.told, done.stdout + done.stderr)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats()
    | st.sampled_from(["", " ", "a", "[", "[1]", "\ud800", "\0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "type", "text", "tool_calls"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
COLUMNS = ("messages", "conversations", "prompt", "completion", "chosen", "rejected", "label", "question", "answer", "text",
           "solution", "tools", "input", "instruction", "output", "reward_model")  # fmt: skip


@given(
    st.sampled_from(sorted(LAYOUTS)),
    st.dictionaries(st.sampled_from(COLUMNS), VALUES, min_size=1, max_size=3),
)
@settings(max_examples=250, deadline=None)
def test_no_value_of_a_column_stops_a_reader(layout: str, odd: dict[str, Any]):
    """Whatever stands in a row beside good ones, it is read or named as bad."""
    rows = [*LAYOUTS[layout][1][:3], {**LAYOUTS[layout][1][3], **odd}]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        try:
            part = Part(path.parent, None, path.name, "train", layout_of(rows, str(path)))
        except UnknownLayout:
            return
        ledger = Ledger("a")
        if part.layout.kind == "pairs":
            pairs = TrlParams(splits={"train": path.name})
            read: Any = load("pipelines.corpora.pairs", "trl").read
            items = list(read(pairs, PairReading(path.parent, "a", 0, Shares(0, 0), ledger)))
        else:
            values = {"raw": folder, "sources": {"a": _source([part], "")}, "reward": "math_answer"}
            source: Any = CorpusParams.model_validate(values).sources["a"]
            read = load("pipelines.corpora.readers", source.reader).read
            items = list(read(source, Reading(path.parent, "a", 0, Shares(0, 0), ledger)))
    assert len(items) == ledger.good
    assert ledger.good + ledger.bad == len(rows)
    assert all(line.startswith(f"{path}:") for line in ledger.first)
