"""A reward of the user's own through the command line: it trains, its parts are in the metrics, and whatever it
imports or reads makes stale what learnt from it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.graph import own_code
from tests import clone
from tests.flows.toy import Project

FILES = {
    "my_rewards.py": """
import json
from pathlib import Path

from rubric.words import count  # a folder of the user's own


def polite(completions, answer, **kwargs):
    words = json.loads(Path("rubric/words.json").read_text())
    return [float(count(text, words) > 0) for text in completions]


def strict(prompt, completion, record):
    if len(completion) % 2:
        raise ValueError("an odd length")
    return completion.endswith(record.answer)
""",
    "rubric/words.py": "import helper\n\n\ndef count(text, words):\n    return sum(map(text.count, words)) + helper.NONE\n",
    "rubric/words.json": '["1", "2"]\n',
    "helper.py": "NONE = 0\n",
    "rubric/other.py": "VALUE = 1\n",
}
RUN = {
    "method": "grpo",
    "start": "sft",
    "data": "exam",
    "judge": "none",
    "checker": "final_answer",
    "max_error_share": 0.0,
    "reward": {
        "kind": "sum",
        "parts": {
            "correct": {"reward": "final_answer", "weight": 2.0},
            "polite": {"reward": "my_rewards.py:polite"},
        },
        "decides": "correct",
    },
}


EVALUATED = {"model": "own", "data": "exam", "reward": "my_rewards.py:strict", "max_error_share": 1.0}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = clone.make(
        tmp_path_factory.mktemp("clone") / "project", {"rl.runs.own": RUN, "evaluate.runs.own": EVALUATED}
    )
    write(made.folder, FILES)
    made.run("evaluate@own")
    return made


def test_parts_of_a_reward_are_in_curve_and_metrics(project: Project) -> None:
    rows = [json.loads(line) for line in (project.folder / "curves/own.jsonl").read_text().splitlines()]
    for row in rows:
        parts = row["rewards/correct"], row["rewards/polite"]
        assert row["reward"] == pytest.approx(2 * parts[0] + parts[1])
        assert row["errors"] == 0
    figures = json.loads((project.folder / "metrics/train/own.json").read_text())
    assert figures["rewards/polite"] == rows[-1]["rewards/polite"]
    assert figures["errors"] == 0


def test_errors_are_counted_and_kept_with_their_last_line(project: Project) -> None:
    rows = [json.loads(line) for line in (project.folder / "samples/own.jsonl").read_text().splitlines()]
    odd = [row for row in rows if len(row["text"]) % 2]
    assert odd
    assert {row["verdict"] for row in odd} == {"error"}
    assert {row["reason"] for row in odd} == {"ValueError: an odd length (my_rewards.py:15)"}
    assert "error" not in {row["verdict"] for row in rows if len(row["text"]) % 2 == 0}
    heldout = json.loads((project.folder / "metrics/evaluate/own.json").read_text())["heldout"]
    assert sum(figures["errors"] for figures in heldout.values()) == len(odd)


@pytest.mark.parametrize("name", ["rubric/words.json", "helper.py"])
def test_what_a_reward_reaches_makes_its_run_stale(project: Project, name: str) -> None:
    path = project.folder / name
    assert "rl@own" not in project.plan("rl@own")
    text = path.read_text()
    if path.suffix == ".py":
        path.write_text(f"# a remark\n{text}")
        assert "rl@own" not in project.plan("rl@own")
    path.write_text(text + ("LATER = 1\n" if path.suffix == ".py" else "\n"))
    key = name if "/" in name else f"./{name}"
    assert project.reasons("rl@own", "rl@own") == [f"code {key} changed"]
    assert project.plan("evaluate@own")["evaluate@own"] == "run"  # its own reward lies in the same file
    path.write_text(text)


def test_what_it_does_not_reach_leaves_it_fresh(project: Project) -> None:
    (project.folder / "rubric/other.py").write_text("VALUE = 2\n")
    (project.folder / "rubric/notes.txt").write_text("later\n")
    assert "rl@own" not in project.plan("rl@own")


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ("my_rewards.py:polit", "my_rewards.py has no polit; it has polite"),
        ("rewards.py:polite", "there is no file rewards.py"),
        ("my_rewards.py", "rl.runs.own.reward"),
    ],
)
def test_a_path_to_nothing_stops_the_plan(project: Project, reward: str, message: str) -> None:
    done = project.call("plan", "rl@own", "-S", f"rl.runs.own.reward={reward}")
    assert done.returncode == 2
    assert message in done.stderr.replace("\n", " ")


# -- what is reached -----------------------------------------------------------------------------------------


def test_imports_are_followed_wherever_they_lie(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "deep/er/mine.py": "import beside\nfrom shared.sub import tool\nimport numpy as np, json\n",
            "deep/er/beside.py": "def f():\n    from pipelines.rewards.verdict import right\n    return right\n",
            "shared/__init__.py": "from . import more\n",
            "shared/more.py": "TABLE = 'table.csv'\n",
            "shared/table.csv": "1\n",
            "shared/sub/tool.py": "from ..more import TABLE\n",
        },
    )
    reached = own_code.reached(tmp_path, ["deep/er/mine.py"])
    assert set(reached.files) == {
        "deep/er/mine.py", "deep/er/beside.py", "shared/__init__.py", "shared/more.py", "shared/table.csv",
        "shared/sub/tool.py",
    }  # fmt: skip
    assert "pipelines.rewards.verdict" in reached.modules
    assert reached.packages == {"numpy", "json"}
    assert list(own_code.versions(reached.packages)) == ["numpy"]
    assert set(own_code.reached(tmp_path, ["shared.sub.tool"]).files) == {
        "shared/__init__.py", "shared/more.py", "shared/table.csv", "shared/sub/tool.py",
    }  # fmt: skip


def test_a_package_from_outside_counts_by_its_version(tmp_path: Path) -> None:
    assert own_code.reached(tmp_path, ["yaml.nodes"]).packages == {"yaml"}
    assert list(own_code.versions({"yaml", "json", "no_such_package"})) == ["PyYAML"]


def test_results_of_stages_are_no_code(tmp_path: Path) -> None:
    files = {"mine.py": "PATH = 'data/exam/records/rl.jsonl'\n", "data/exam/records/rl.jsonl": "{}\n"}
    stages = "stages: {corpus: {cmd: python -m tasks corpus, outs: [data/exam/records]}}\n"
    write(tmp_path, {**files, "dvc.yaml": stages})
    assert set(own_code.reached(tmp_path, ["mine.py"]).files) == {"./mine.py"}
