"""Stages that train on pairs, in two processes: they end where one process does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from flows.graph.closure import Code
from flows.graph.families import divisible, families
from tasks import launch
from tests.corpora.made import write_lines
from tests.tasks.preference_inputs import (
    BEST_WORST,
    DPO,
    RANKING,
    SET,
    in_two_processes,
    make_folder,
    model_outs,
    run_of,
    run_stage,
    sample_set,
)


def curve(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def bytes_of(folder: Path, *below: str) -> dict[str, bytes]:
    """Files by their path in the folder; only those below the paths, where some are given."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: path.read_bytes() for name, path in named.items() if not below or name.startswith(below)}


def same_curves(one: Path, other: Path, rows: int) -> None:
    found = curve(one), curve(other)
    assert [len(side) for side in found] == [rows, rows]
    for row, expected in zip(*found, strict=True):
        assert row == pytest.approx(expected, rel=2e-3, abs=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dpo", "reward_model"])
def test_two_processes_end_where_one_does(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learning_python: str
):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path)
    extra = ["data/reference/dpo"] if kind == "dpo" else []
    if extra:
        params = {"dpo.runs.dpo.start": "sft", "dpo.runs.dpo.data": "sums"}
        stage = run_stage("reference@dpo", params, ["models/sft/model", "data/sums/pairs"], extra)
        several = in_two_processes(stage, tmp_path, learning_python)
        for side in ("train", "validation"):
            one, other = (
                load_file(folder / extra[0] / f"{side}.safetensors")["logprobs"]
                for folder in (Path(), several)
            )
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    common = {**(DPO if kind == "dpo" else RANKING), "steps": 10, "validation_every": 5}
    common["optimiser"] = common["optimiser"] | {"learning_rate": 3e-4, "epsilon": 1e-5}
    outs = in_two_processes(run_of(kind, kind, common, {}, extra=extra), tmp_path, learning_python)
    same_curves(outs / model_outs(kind)[1], Path(f"curves/{kind}.jsonl"), 10)


@pytest.mark.slow
def test_a_round_samples_the_same_pairs_in_two_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learning_python: str
):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path)
    run_of("reward_model", "judge", RANKING | {"steps": 10, "validation_every": 5}, {})
    stage = sample_set("round_1", "sft", "judge", {"draw": 1, "pairing": BEST_WORST})
    outs = in_two_processes(stage, tmp_path, learning_python)
    one, other = (
        [
            (pair["id"], pair["chosen"], pair["rejected"])
            for pair in curve(folder / "data/round_1/pairs/train.jsonl")
        ]
        for folder in (Path(), outs)
    )
    assert one == other
    assert len(one) > 0
    assert (outs / "metrics/preferences/round_1.json").exists()


def test_raw_pairs_are_written_by_the_first_of_two_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learning_python: str
):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path)
    rows = [{"prompt": f"{n}+1", "chosen": f"#### {n + 1}", "rejected": "#### 0"} for n in range(6)]
    (tmp_path / "raw").mkdir()
    write_lines(tmp_path / "raw/likes.jsonl", rows)
    source = {"kind": "trl", "splits": {"train": "likes.jsonl"}}
    values = SET | {"origin": "raw", "data": "tiny", "judge": "none", "source": source}
    outs = ["data/likes/pairs", "data/likes/records", "metrics/preferences/likes.json"]
    inputs = ["raw", "data/tiny/records"]
    stage = run_stage("preferences@likes", {"preferences.likes": values}, inputs, outs)
    assert bytes_of(in_two_processes(stage, tmp_path, learning_python)) == bytes_of(tmp_path, *outs)


def test_every_stage_that_joins_ranks_is_launched_in_several_processes():
    """A stage whose code can divide its work, and whose kind is missing in the list, would quietly run in one
    process.
    """
    root = Path(launch.__file__).parents[1]
    code = Code(root)
    kinds = [
        path.stem
        for path in sorted((root / "tasks").glob("*.py"))
        if "def run(stage: Stage)" in path.read_text("utf-8")
    ]
    joining = {kind for kind in kinds if "pipelines.training.ranks" in code.closure([f"tasks.{kind}"])[0]}
    assert joining == {family.name for family in families(root) if divisible(family.meta)}
