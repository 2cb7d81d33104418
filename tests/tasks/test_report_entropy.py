"""The report's section on entropy and accuracy: true to the curves, silent where there is nothing, careful
with few points.
"""

from __future__ import annotations

import json
import math
import xml.dom.minidom
from pathlib import Path
from typing import Any

import pytest

from tasks.report_page import entropy
from tasks.report_page.entropy import TrainedRun
from tests.tasks import report_results
from tests.tasks.test_report import Cells, report

LAWS, SPENT = "Entropy bought accuracy", "Spent and gained early in the run"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def curve(every: int = 10, iterations: int = 120, a: float = 0.2, b: float = 0.6) -> list[dict[str, Any]]:
    """A run that follows the law exactly: its entropy moves only once in `every` iterations."""
    rows: list[dict[str, Any]] = [{"step": 0, "validation_greedy": b - a * math.exp(0.5)}]
    for step in range(1, iterations + 1):
        measured = 0.5 * math.exp(-((step - 1) // every) * every / 40)
        row = {"step": step, "entropy": measured}
        rows.append(row | ({"validation_greedy": b - a * math.exp(measured)} if step % every == 0 else {}))
    return rows


def table(made: list[Any], title: str) -> dict[str, tuple[Any, ...]]:
    found = next(block for block in made[0].blocks if getattr(block, "title", "") == title)
    return {row[0]: row for row in found.rows}


def test_the_section_holds_the_coefficients_of_the_curve(tmp_path: Path):
    made = entropy.sections({"grpo": TrainedRun(curve(), {})}, tmp_path)
    row = table(made, LAWS)["grpo"]
    assert row[1:3] == ("greedy", 13)
    assert row[3] == "0.5"
    assert row[7:] == ("0.2", "0.6", "40.0 %", "1", "0", None)
    spent = table(made, SPENT)["grpo"]
    whole = 0.5 - 0.5 * math.exp(-110 / 40)
    # at a third, step 40, entropy of iteration 31 on
    assert spent[2] == f"{100 * (0.5 - 0.5 * math.exp(-30 / 40)) / whole:.0f} %"
    assert spent[1] == "0 %"  # at a twelfth, step 10, still that of the start
    xml.dom.minidom.parse(str(tmp_path / "entropy_law_greedy.svg"))


def test_few_pairs_are_called_few(tmp_path: Path):
    made = entropy.sections({"grpo": TrainedRun(curve(40), {})}, tmp_path)
    assert table(made, LAWS)["grpo"][-1] == "only 4 pairs for two coefficients"


@pytest.mark.parametrize("objective", ["clip_cov", "kl_cov, share 0.002, coef 1"])
def test_no_law_is_fitted_to_a_run_whose_objective_holds_its_entropy(tmp_path: Path, objective: str):
    made = entropy.sections({"cov": TrainedRun(curve(), {"method": {"objective": objective}})}, tmp_path)
    row = table(made, LAWS)["cov"]
    assert row[7:12] == (None,) * 5
    assert row[-1] == f"not fitted: {objective.partition(',')[0]} holds the entropy"
    assert "cov" in table(made, SPENT)
    picture = made[0].blocks[0].members[0]
    assert "not fitted" in picture.alt


def test_an_entropy_that_never_moved_breaks_nothing(tmp_path: Path):
    for value in (0.0, 0.3):
        rows = [{"step": step, "entropy": value, "validation_sampled": 0.1 * step} for step in (1, 2, 3)]
        made = entropy.sections({"flat": TrainedRun(rows, {})}, tmp_path)
        assert str(table(made, LAWS)["flat"][-1]).startswith("not fitted: all 3 entropies")
        assert table(made, SPENT)["flat"][1:3] == (None, None)
        xml.dom.minidom.parse(str(tmp_path / "entropy_law_sampled.svg"))


def test_no_section_without_three_validations(tmp_path: Path):
    rows = [{"step": step, "entropy": 0.3} for step in range(1, 9)]
    short = [*rows, {"step": 9, "entropy": 0.2, "validation_greedy": 0.5}]
    assert (
        entropy.sections(
            {"none": TrainedRun(rows, {}), "one": TrainedRun(short, {}), "empty": TrainedRun([], {})},
            tmp_path,
        )
        == []
    )


def test_the_report_shows_the_section(here: Path):
    params = report_results.write(here, methods=("grpo", "kl_cov"), iterations=40)
    training = here / "metrics/train/kl_cov.json"
    value = json.loads(training.read_text("utf-8"))
    value["method"]["objective"] = "kl_cov, share 0.002"
    training.write_text(json.dumps(value), "utf-8")
    for name in ("named", "left_over"):  # of two runs against a verifier, the parameters know one
        rows = [
            {"step": step, "entropy": 0.5 / step, "validation_sampled": 0.1 * step} for step in range(1, 5)
        ]
        (here / f"curves/rlvr_{name}.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows), "utf-8"
        )
        (here / f"metrics/train/rlvr_{name}.json").write_text(
            json.dumps({"method": {"objective": "clip"}}), "utf-8"
        )
    folder = report(here, {**params, "rl.runs": params["rl.runs"] | {"rlvr_named": {"data": "phrases"}}})
    cells = Cells((folder / "index.html").read_text("utf-8"))
    shown = [row[0].strip() for row in cells.tables[LAWS][2:]]
    assert shown == ["grpo", "kl_cov", "grpo", "kl_cov", "rlvr_named"]
    assert ("a", {"href": "#entropy"}) in cells.tags
    assert {"plots/entropy_law_greedy.svg", "plots/entropy_law_sampled.svg"} <= {
        tags.get("src") for _, tags in cells.tags
    }
    assert "not fitted: kl_cov holds the entropy" in (folder / "report.md").read_text("utf-8")


def test_a_report_of_runs_without_validations_has_no_such_section(here: Path):
    params = report_results.write(here, iterations=40)
    path = here / "curves/grpo.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    kept = [{key: value for key, value in row.items() if not key.startswith("validation_")} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in kept), "utf-8")
    page = (report(here, params) / "index.html").read_text("utf-8")
    assert "Entropy and accuracy" not in page
    assert "</html>" in page
