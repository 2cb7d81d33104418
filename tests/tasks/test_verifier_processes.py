"""The verifier branch in two processes: its stages end where one process does, and one of them writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.corpora.records.judgement import read_judgements
from tests.tasks.preference_inputs import in_two_processes, model_outs
from tests.tasks.test_preference_processes import curve, same_curves
from tests.tasks.verifier_inputs import VERIFIER, distil, judge, make_folder, reinforce, report


@pytest.mark.slow
def test_the_verifier_branch_in_two_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learning_python: str
):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path)
    outs = in_two_processes(judge(), tmp_path, learning_python)
    for file in ("train", "calib", "heldout"):
        one, other = (
            read_judgements(folder / f"data/explored/judgements/{file}.jsonl") for folder in (Path(), outs)
        )
        assert [row.id for row in one] == [row.id for row in other]
        same = [
            row.response == twin.response and row.label == twin.label
            for row, twin in zip(one, other, strict=True)
        ]
        # after an update the weights differ in the last bits, and now and then a token
        assert sum(same) >= 0.95 * len(same)

    settings = VERIFIER | {
        "steps": 10,
        "validation_every": 5,
        "optimiser": {"learning_rate": 3e-4, "epsilon": 1e-5},
    }
    outs = in_two_processes(distil("short", settings), tmp_path, learning_python)
    same_curves(outs / "curves/short.jsonl", Path("curves/short.jsonl"), 10)
    ours, theirs = (
        json.loads((folder / "models/short/model/verifier.json").read_text()) for folder in (Path(), outs)
    )
    assert ours.keys() == theirs.keys()
    assert ours["temperature"] == pytest.approx(theirs["temperature"], rel=1e-2)

    distil()
    report()
    stage = reinforce(
        "soft",
        {
            "judge": "verifier",
            "reward": {"kind": "verifier", "form": "soft", "preflight": False},
            "ignore_gate": True,
        },
    )
    outs = in_two_processes(stage, tmp_path, learning_python)
    for name in model_outs("soft"):
        assert (outs / name).exists()
    one, other = (
        [row["reward"] for row in curve(folder / "curves/soft.jsonl") if "reward" in row]
        for folder in (Path(), outs)
    )
    assert len(one) == len(other) == 2
    assert one[0] == pytest.approx(other[0], abs=1e-3)
