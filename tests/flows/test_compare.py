"""`whetstone compare`: evaluations, models, seeds and commits side by side, in the terminal, as HTML and JSON."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from flows.cli import app
from flows.provenance import comparison
from flows.provenance.compared import ComparedSide, Member
from pipelines.evaluation.over_seeds import mean_over_seeds
from pipelines.settings import ROOT
from tasks.content import file_digest
from tasks.report_page.comparison import Accuracy
from tasks.report_page.markdown import text
from tasks.report_page.seed_means import mean_accuracy
from tests.tasks import report_results
from tests.tasks.test_report import Cells

MODELS = ("sft", "grpo", "grpo_s0", "grpo_s1", "ppo_s0", "ppo_s1")


def entry(root: Path, command: str, deps: dict[str, str], outs: list[str], settings: dict[str, Any]) -> Any:
    """A stage's entry of dvc.lock, with the files that are there."""
    stage = command.split()[-1]
    reached = {"modules": {"tasks.rl": settings.pop("code", "1")}, "settings": settings, "python": "3.12"}
    digests = {out: file_digest(root / out) if (root / out).exists() else "0" * 32 for out in outs}
    return {
        "cmd": command,
        "deps": [{"path": path, "md5": digest} for path, digest in deps.items()],
        "params": {"code.lock.json": {stage: reached}},
        "outs": [{"path": path, "md5": digest} for path, digest in digests.items()],
    }


def lock(root: Path, rate: float = 1e-4) -> None:
    """Write the dvc.lock of the results in `root`."""
    stages = {}
    for name in MODELS:
        kind, start = ("sft", "base") if name == "sft" else ("rl", "sft")
        stages[f"{kind}@{name}"] = entry(
            root,
            f"python -m tasks {kind}@{name}",
            {f"models/{start}/model": "1" * 32, "raw/exam": "2" * 32},
            [f"models/{name}/model", f"curves/{name}.jsonl", f"metrics/train/{name}.json"],
            {f"{kind}.runs.{name}": {"optimiser": {"learning_rate": rate}}, "code": kind},
        )
        stages[f"evaluate@{name}"] = entry(
            root,
            f"python -m tasks evaluate@{name}",
            {f"models/{name}/model": "0" * 32},
            [f"metrics/evaluate/{name}.json", f"samples/{name}.jsonl"],
            {f"evaluate.runs.{name}": {"model": name, "data": "exam"}},
        )
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with results: a commit with other answers of grpo, whose bytes lie in DVC's cache, and today's."""
    root = tmp_path_factory.mktemp("compared")
    for name in ("dvc.yaml", "params.yaml", "presets.yaml"):
        shutil.copy(ROOT / name, root / name)
    report_results.write(
        root, methods=[name for name in MODELS if name != "sft"], models=MODELS, problems=120
    )
    cached = root / ".dvc/cache/files/md5"
    rows = [json.loads(line) for line in (root / "samples/grpo.jsonl").read_text().splitlines()]
    old = "".join(json.dumps({**row, "verdict": "wrong"}) + "\n" for row in rows)
    new = (root / "samples/grpo.jsonl").read_text()
    (root / "samples/grpo.jsonl").write_text(old)
    lock(root, 3e-4)
    digest = file_digest(root / "samples/grpo.jsonl")
    (cached / digest[:2]).mkdir(parents=True)
    shutil.copy(root / "samples/grpo.jsonl", cached / digest[:2] / digest[2:])
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "dvc.lock", "dvc.yaml"], ["commit", "-qm", "old"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    (root / "samples/grpo.jsonl").write_text(new)
    lock(root)
    return root


def compare(root: Path, *words: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return CliRunner().invoke(app, ["compare", *words])


def as_json(root: Path, *words: str) -> Any:
    done = compare(root, *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def right(root: Path, model: str) -> dict[str, bool]:
    rows = [json.loads(line) for line in (root / f"samples/{model}.jsonl").read_text().splitlines()]
    return {row["id"]: row["verdict"] == "right" for row in rows if row["decoding"] == "greedy"}


def test_two_models_are_compared_on_the_same_questions(evaluated: Path) -> None:
    found = as_json(evaluated, "sft", "grpo")
    greedy = next(row for row in found["differences"] if row["decoding"] == "greedy")
    before, after = right(evaluated, "sft"), right(evaluated, "grpo")
    assert greedy["questions"]["gained"] == sum(after[key] and not before[key] for key in before)
    assert greedy["questions"]["n"] == 120
    assert greedy["questions"]["low"] < greedy["questions"]["value"] < greedy["questions"]["high"]
    assert greedy["seeds"] is None


def test_a_commit_is_compared_with_today_and_what_differs_is_named(evaluated: Path) -> None:
    found = as_json(evaluated, "HEAD:grpo", "grpo")
    greedy = next(row for row in found["differences"] if row["decoding"] == "greedy")
    assert greedy["questions"]["lost"] == 0
    assert greedy["questions"]["value"] == pytest.approx(sum(right(evaluated, "grpo").values()) / 120)
    made = {(row["stage"], row["key"]): (row["first"], row["second"]) for row in found["made"]["grpo"]}
    assert made == {
        ("rl@grpo", "rl.runs.NAME.optimiser.learning_rate"): (3e-4, 1e-4),
        ("sft@sft", "sft.runs.NAME.optimiser.learning_rate"): (3e-4, 1e-4),
    }


def test_seeds_are_a_mean_with_students_interval_and_their_differences_are_paired(evaluated: Path) -> None:
    found = as_json(evaluated, "grpo", "ppo")["sides"][1]
    shares = [member["evaluation"]["heldout"]["greedy"]["accuracy"] for member in found["members"]]
    mean = mean_over_seeds(shares)
    assert mean.low is not None
    assert found["seeds"] == 2
    assert found["accuracy"]["greedy"]["share"] == pytest.approx(sum(shares) / 2)
    # t of one degree of freedom at 97.5 %: 12.706
    assert mean.value - mean.low == pytest.approx(12.706 * abs(shares[0] - shares[1]) / 2, rel=1e-4)


@pytest.mark.parametrize("values", [[0.5], [0.2, 0.2], [0.3 - 0.1, 0.4 - 0.2, 0.2]])
def test_figures_without_a_spread_have_no_interval(values: list[float]) -> None:
    mean = mean_over_seeds(values)
    assert (mean.value, mean.low, mean.high, mean.p) == (pytest.approx(values[0]), None, None, None)
    measured = [Accuracy(10, 2, 0, 0.2, 0.1, 0.4), Accuracy(10, 2, 0, 0.2, 0.1, 0.4)]
    assert text(mean_accuracy(measured)) == "20.0 %"


def test_seeds_are_meant_where_a_run_has_the_name_too_and_unlike_ones_are_told(evaluated: Path) -> None:
    assert as_json(evaluated, "sft", "grpo")["sides"][1]["seeds"] is None
    alike = as_json(evaluated, "sft", "grpo_s*")
    assert [member["name"] for member in alike["sides"][1]["members"]] == ["grpo_s0", "grpo_s1"]
    assert alike["notes"] == []
    before = (evaluated / "dvc.lock").read_text()
    try:
        recorded = yaml.safe_load(before)
        reached = recorded["stages"]["rl@ppo_s1"]["params"]["code.lock.json"]["rl@ppo_s1"]
        reached["settings"]["rl.runs.ppo_s1"] |= {"start": "sft_s1", "seed": 1}
        (evaluated / "dvc.lock").write_text(yaml.safe_dump(recorded))
        reference = as_json(evaluated, "sft", "ppo")["notes"]
        reached["settings"]["rl.runs.ppo_s1"]["optimiser"]["learning_rate"] = 1.0
        (evaluated / "dvc.lock").write_text(yaml.safe_dump(recorded))
        shown = compare(evaluated, "sft", "ppo").output
    finally:
        (evaluated / "dvc.lock").write_text(before)
    assert "start" in reference[0]  # ppo_s0 says none
    assert "ppo_s1 differs from ppo_s0 in more than its seed" in " ".join(shown.split())
    assert "learning_rate" in shown


def test_the_terminal_and_the_page_show_tables_curves_and_samples(evaluated: Path, tmp_path: Path) -> None:
    page = tmp_path / "compare.html"
    done = compare(evaluated, "sft", "grpo", "ppo_s0", "--html", str(page))
    assert done.exit_code == 0, done.output
    written = page.read_text("utf-8")
    row = Cells(written).row("Accuracy, and the difference from sft on the same questions", "grpo")
    assert "of 120" in " ".join(row)
    assert written.count("data:image/svg+xml;base64,") > 3
    assert "grpo against sft: improved" in written
    assert (
        "over seeds</th>" not in written
    )  # no column without a value: the table would be cut off for nothing
    shown = compare(evaluated, "grpo", "ppo_s0")
    assert shown.exit_code == 0, shown.output
    assert "Made differently: grpo and ppo_s0" in shown.output
    assert "Reward" in shown.output
    assert re.search(r"^ppo_s0 .*%.*\d+ / \d+ of 120 ", shown.output, re.M), shown.output  # on one line


def test_a_curve_that_diverged_is_drawn_without_what_has_no_place(evaluated: Path, tmp_path: Path) -> None:
    curve = evaluated / "curves/grpo.jsonl"
    before = curve.read_text()
    first, *rows = map(json.loads, before.splitlines())
    keys = [key for key, value in first.items() if key != "step" and isinstance(value, float)]
    broken = {**first, **dict.fromkeys(keys, float("nan")), keys[0]: float("inf")}
    try:
        curve.write_text("".join(json.dumps(row) + "\n" for row in (broken, *rows)))
        lock(evaluated)
        shown = compare(evaluated, "grpo", "ppo_s0", "--html", str(tmp_path / "page.html"))
        assert shown.exit_code == 0, shown.output
        assert compare(evaluated, "grpo", "ppo_s0").exit_code == 0
    finally:
        curve.write_text(before)
        lock(evaluated)


def test_a_policys_loss_is_no_curve_of_fine_tuning(evaluated: Path) -> None:
    shown = compare(evaluated, "grpo", "ppo_s0")
    assert "Gradient norm" in shown.output
    assert "SFT loss" not in shown.output


def test_a_recipe_stands_for_the_newest_commit_with_its_results(evaluated: Path) -> None:
    (evaluated / "recipes").mkdir(exist_ok=True)
    (evaluated / "recipes/mine.yaml").write_text("sft: {}\n")
    (evaluated / "recipes/.applied.yaml").write_text("recipe: mine\nbase: ''\nlaid: ''\n")
    try:
        found = as_json(evaluated, "default:grpo", "mine:grpo")
    finally:
        (evaluated / "recipes/.applied.yaml").unlink()
    assert found["sides"][0]["commit"]  # the commit was made without a recipe
    assert found["sides"][1]["commit"] is None
    missing = compare(evaluated, "mine:grpo", "grpo")
    assert missing.exit_code == 2
    assert "no branch has a commit with results of this recipe" in " ".join(missing.output.split())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["grpo"], 2, "two results or more"),
        (["sft", "gpro"], 2, "nearest: grpo"),
        (["sft", "nowhere:grpo"], 2, "git knows no such commit"),
        (["sft", "HEAD:sfft"], 2, "the dvc.lock of HEAD records no"),
        (["sft", "grpo", "sft"], 2, "sft is named twice"),
        (["sft", "grpo", "--html", "nowhere/page.html"], 2, "No such file or directory; name a file"),
        (["sft", "grpo", "--html", "."], 2, "Is a directory; name a file"),
    ],
)
def test_what_is_not_there_is_named(evaluated: Path, words: list[str], code: int, said: str) -> None:
    done = compare(evaluated, *words)
    assert done.exit_code == code
    assert said in " ".join(done.output.split())


def test_results_that_are_recorded_and_gone_say_how_to_have_them(evaluated: Path) -> None:
    (evaluated / "samples/ppo_s1.jsonl").rename(evaluated / "kept")
    done = compare(evaluated, "sft", "ppo_s1")
    (evaluated / "kept").rename(evaluated / "samples/ppo_s1.jsonl")
    assert done.exit_code == 1
    assert "whetstone run evaluate@ppo_s1" in " ".join(done.output.split())


def test_mean_scores_of_a_graded_judge_stand_side_by_side():
    def side(name: str, *scores: float | None) -> ComparedSide:
        rows = [
            {"id": str(number), "decoding": "greedy", "verdict": "right" if score is not None else "error"}
            | {"score": score or 0.0}
            for number, score in enumerate(scores)
        ]
        return ComparedSide(name, None, (Member(name, "", (), {}, rows),))

    (note,) = comparison._scores([side("sft", 0.25, 0.5, 0.1), side("grpo", 0.75, 1.0, None)])
    assert note.startswith("mean score, greedy, on the judge's own scale: sft 0.283; grpo 0.875 (+0.5 [")
    plain = ComparedSide(
        "a", None, (Member("a", "", (), {}, [{"id": "1", "decoding": "greedy", "verdict": "right"}]),)
    )
    assert list(comparison._scores([plain, plain])) == []
