"""Which edits of code make which stages stale (acceptance table of the foundation), on a real graph: what is
planned and what then ran.
"""

from __future__ import annotations

import pytest

from tests.flows.toy import Project, method


def test_nothing_edited_nothing_runs(graph: Project):
    assert graph.plan() == {}
    assert graph.bring() == {}
    assert graph.ran() == []


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("pipelines/toy/loss.py", "# half", "# one half"),
        ("pipelines/toy/loss.py", "The loss.", "What is minimised."),
        ("pipelines/toy/loss.py", '    """Half."""\n', ""),
        ("pipelines/toy/loss.py", "\n\n\ndef", "\n\n\n\n\ndef"),
        ("tasks/sft.py", "import os\n", "import os  # the environment\n"),
        ("pipelines/toy/unrelated.py", "1", "2"),
        ("pipelines/toy/hidden.py", "1", "2"),
        ("flows/graph/plan_rows.py", "UNKNOWN = _Unknown()", "UNKNOWN = _Unknown()\nEXTRA = 1"),
    ],
)
def test_a_comment_docstring_blank_line_or_unrelated_module_runs_nothing(
    graph: Project, path: str, old: str, new: str
):
    graph.edit(path, old, new)
    assert graph.plan() == {}


def test_unrelated_files_run_nothing(graph: Project):
    for name in ("README.md", "docs/note.md", "tests/test_x.py", "tasks/notes.txt", "pipelines/toy/new.py"):
        path = graph.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("VALUE = 1\n")
    assert graph.plan() == {}
    assert graph.bring() == {}
    assert graph.ran() == []


def test_a_loss_three_imports_away_runs_the_stages_that_reach_it_and_below(graph: Project):
    graph.edit("pipelines/toy/loss.py", "x / 2", "x / 3")
    # rl -> far -> middle -> loss; sft and its evaluation do not reach it
    expected = method("grpo") | method("other")
    planned = graph.plan()
    assert set(planned) == expected
    assert planned["rl@grpo"] == planned["rl@other"] == "run"
    assert graph.reasons("rl@grpo") == ["code pipelines.toy.loss changed"]
    assert set(graph.bring()) == expected
    assert set(graph.ran()) == expected
    assert graph.plan() == {}


@pytest.mark.parametrize(("objective", "name"), [("clip", "grpo"), ("plain", "other")])
def test_one_methods_objective_leaves_the_other_method_fresh(graph: Project, objective: str, name: str):
    graph.edit(f"pipelines/objectives/{objective}.py", "def policy_loss(", "SCALE = 2\n\n\ndef policy_loss(")
    assert set(graph.plan()) == method(name)
    assert graph.bring(f"evaluate@{name}")[f"rl@{name}"] == "run"
    assert graph.ran() == [f"rl@{name}"]  # the toy's output is the same, so what is below is spared


def test_a_method_that_changes_its_objective_is_stale_for_both_reasons(graph: Project):
    graph.set("rl.methods.other.objective", "clip")
    assert graph.plan()["rl@other"] == "run"
    reasons = graph.reasons("rl@other")
    assert "param rl.runs.other.objective.kind 'plain' -> 'clip'" in reasons
    assert not [reason for reason in reasons if "objective.low" in reason]  # an option of the new kind
    assert {"code pipelines.objectives.clip is new", "code pipelines.objectives.plain is gone"} <= set(
        reasons
    )


def test_code_that_the_digest_did_not_foresee_fails_the_stage_and_is_named(graph: Project):
    lock = (graph.folder / "dvc.lock").read_text()
    graph.set("sft.common.steps", 999)
    done = graph.python_call(".whetstone/bring.py", "sft@sft", TOY_UNFORESEEN="1")
    assert done.returncode == 1
    assert "sft loaded pipelines.toy.hidden, which its code digest does not hold" in done.stdout
    assert (graph.folder / "dvc.lock").read_text().count("steps: 999") == 0
    assert "sft@sft" in graph.plan()
    assert yaml_stage(lock, "sft@sft") == yaml_stage((graph.folder / "dvc.lock").read_text(), "sft@sft")


def yaml_stage(text: str, name: str) -> object:
    import yaml

    return yaml.safe_load(text)["stages"][name]


def test_code_that_does_not_parse_is_an_error_with_file_and_line(graph: Project):
    graph.edit("pipelines/toy/loss.py", "return x / 2", "return x /")
    done = graph.call("plan")
    assert done.returncode == 1
    assert "pipelines/toy/loss.py:6" in done.stderr
