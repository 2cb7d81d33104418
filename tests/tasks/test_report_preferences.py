"""The report's sections on preferences: there where their files are, true to them, safe and repeatable."""

from __future__ import annotations

import json
import xml.dom.minidom
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.graph import families
from tasks.report_page import html, preference_results, preferences, wording
from tasks.report_page.stages import ReportedStages
from tests.tasks import preference_files, report_results
from tests.tasks.test_report import EVIL, Cells, edit, report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The whole report of a run with preferences."""
    root = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        preference_files.write(root)
        yield report(root, report_results.write(root, iterations=20))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    preference_files.write(tmp_path, theory=False)
    return tmp_path


def sections(root: Path, members: Any = None) -> tuple[list[preferences.Section], str]:
    """The sections alone, and their HTML."""
    stages = ReportedStages(families.reported())
    found = preference_results.read(
        stages, root / "metrics", root / "curves", root / "samples", {"sft"}, members or {}
    )
    made = preferences.sections(found, root / "plots", 9)
    return made, "".join(map(html.blocks, made))


def metrics(folder: Path, name: str) -> dict[str, Any]:
    """A metrics file of the run that `folder` reports."""
    return json.loads((folder.parents[2] / "metrics" / name).read_text("utf-8"))


def page(folder: Path) -> Cells:
    return Cells((folder / "index.html").read_text("utf-8"))


def test_no_section_without_a_file(tmp_path: Path):
    assert sections(tmp_path)[0] == []


def test_each_part_appears_with_its_file(root: Path):
    for path in (root / "metrics/assess").iterdir():
        path.unlink()
    made, text = sections(root)
    assert [section.key for section in made] == ["preferences"]
    assert "<h3>Reward models</h3>" in text
    assert "<h3>Policies</h3>" not in text


def test_the_sections_stand_on_the_page_and_in_its_navigation(folder: Path):
    text = (folder / "index.html").read_text("utf-8")
    places = [text.index(f'<section id="{key}">') for key in ("curves", "preferences", "theory", "samples")]
    assert places == sorted(places)
    assert '<a href="#theory">Theory</a>' in text
    assert "## Preferences" in (folder / "report.md").read_text("utf-8")


def test_tables_hold_the_figures_of_the_files(folder: Path):
    cells = page(folder)
    assert cells.row("Preference sets", "harmless")[1:] == ["hh", "700", "60", "96", "350", "30", "48"]
    assert cells.row("What became of the rows", "removed: dual unsafe") == [
        "removed: dual unsafe",
        "30",
        "30",
    ]
    assert cells.row("What became of the rows", "pairing: no contrast") == ["pairing: no contrast", "40", "–"]
    report_of = metrics(folder, "reward_report/reward_model.json")
    one, row = report_of["accuracy"], cells.row("Reward models on held-out pairs", "reward_model")
    assert row[4] == f"{100 * one['share']:.1f} % {100 * one['low']:.1f} – {100 * one['high']:.1f}"
    assert row[7:] == [
        f"{report_of['calibration'][key]:.4g}" for key in ("ece", "brier", "log_loss", "temperature")
    ]
    samples = cells.row("Judged samples", "exam_pairs")
    assert samples == ["exam_pairs", "train", "0.25", "0.5", "1", "9.5", "3"]
    assert cells.tables["Accuracy by source"][0] == ["model ", "hh ", "xstest "]
    match = metrics(folder, "wins/checker.json")["matches"][0]
    row = cells.row("Win, tie, lose: checker, judged by checker", "dpo against sft")
    assert row[2].startswith(f"{100 * match['win']['share']:.1f} %")
    assert row[-2:] == ["0", "0"]


def test_a_policy_stands_beside_its_reference(folder: Path):
    cells = page(folder)
    after, before = (
        metrics(folder, f"assess/{name}.json")["accuracy"]["share"] for name in ("dpo_iter_2", "dpo_iter_1")
    )
    row = cells.row("Assessed policies: their answers", "dpo_iter_2")
    assert wording.points(after - before) in row[2]
    # share and interval: no difference from itself
    assert len(cells.row("Assessed policies: their answers", "sft")[2].split()) == 5
    assert row[4] == "–"
    names = [row[0].strip() for row in cells.tables["Assessed policies: their answers"][1:]]
    assert names.index("dpo_iter_1") < names.index("dpo_iter_2")


def test_the_theory_prints_its_limit_and_its_sweep(folder: Path):
    value = metrics(folder, "dpo_theory/worlds.json")
    assert "not a law" in (folder / "index.html").read_text("utf-8")
    assert value["limit"] in (folder / "report.md").read_text("utf-8")
    cells = page(folder)
    assert [row[0].strip() for row in cells.tables["DPO by its steps, policy a network"][1:]] == [
        "20",
        "40",
        "60",
    ]
    title = "Three answers, one pair y1 > y2 (theorem 4.1), at beta 1"
    assert cells.row(title, "gradient descent from y3 = 0.9")[1:4] == ["0.153", "0.014", "0.833"]


def test_pictures_are_whole_svg_in_vectors_and_every_one_is_shown(folder: Path):
    text = (folder / "index.html").read_text("utf-8")
    for name in (
        "calibration",
        "wins-checker",
        "theory_panels",
        "theory_sweep",
        "dpo_loss",
        "dpo_margin",
        "rm_accuracy",
    ):
        picture = (folder / f"plots/{name}.svg").read_text("utf-8")
        xml.dom.minidom.parseString(picture)
        assert "<image" not in picture
        assert f'src="plots/{name}.svg"' in text
    assert ">dpo vs sft</text>" in (folder / "plots/wins-checker.svg").read_text("utf-8")


def test_two_runs_give_the_same_bytes(root: Path):
    first = sections(root)[1], {path.name: path.read_bytes() for path in (root / "plots").iterdir()}
    assert (sections(root)[1], {path.name: path.read_bytes() for path in (root / "plots").iterdir()}) == first


def test_names_from_files_are_escaped(root: Path):
    edit(root / "metrics/preferences/harmless.json", lambda value: value.update(kind=EVIL, removed={EVIL: 3}))
    edit(
        root / "metrics/wins/checker.json",
        lambda value: (value.update(judge=EVIL), value["matches"][0].update(first=EVIL)),
    )
    text = sections(root)[1]
    assert "&lt;script&gt;alert" in text
    assert "<script>alert" not in text
    assert "<script>alert" not in (root / "plots/wins-checker.svg").read_text("utf-8")


def test_only_models_that_the_parameters_name_are_shown_where_they_do(root: Path):
    cells = Cells(sections(root, {"assess.models": ["sft", "dpo"]})[1])
    assert [row[0].strip() for row in cells.tables["Assessed policies: their answers"][1:]] == ["dpo", "sft"]


def test_a_damaged_file_names_itself_and_its_stage(root: Path):
    (root / "metrics/assess/dpo.json").write_text("{", "utf-8")
    with pytest.raises(ValueError, match=r"assess/dpo\.json: not JSON .*assess@dpo"):
        sections(root)


def test_a_part_knows_no_stage_by_name(root: Path):
    """The metrics of a stage that another dvc.yaml calls otherwise are shown by its `meta: {report: PART}`."""
    stages = families.reported()
    before = sections(root)[1]
    (root / "metrics/wins").rename(root / "metrics/duels")
    assert sections(root)[1] != before
    stages["duel"] = {**stages.pop("wins"), "metrics": "metrics/duels/${key}.json"}
    found = preference_results.read(
        ReportedStages(stages), root / "metrics", root / "curves", root / "samples", {"sft"}, {}
    )
    made = preferences.sections(found, root / "plots", 9)
    assert "".join(map(html.blocks, made)) == before


def test_a_reward_model_at_chance_is_told_beside_its_figures(root: Path):
    edit(root / "metrics/reward_report/reward_hh.json", lambda value: value.update(warnings=["at chance"]))
    assert "warning: reward_hh: at chance." in sections(root)[1]


def test_a_damaged_file_names_the_stages_that_could_have_made_it(root: Path):
    path = next((root / "metrics/train").glob("*.json"))
    path.write_text("[1]")
    with pytest.raises(ValueError, match=f"holds a list.*dpo@{path.stem} or .*rl@{path.stem}`"):
        sections(root)


def test_a_baseline_that_is_no_run_of_sft_keeps_its_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GRPO that starts from DPO: the curves of both are shown."""
    monkeypatch.chdir(tmp_path)
    preference_files.write(tmp_path, theory=False)
    params = report_results.write(tmp_path, models=("dpo", "grpo"), iterations=20)
    params["rl.runs"]["grpo"]["start"] = "dpo"
    drawn = report(tmp_path, params) / "plots"
    legends = "".join(path.read_text("utf-8") for path in drawn.glob("*.svg"))
    assert ">dpo<" in legends.replace(" ", "").replace("\n", "")
