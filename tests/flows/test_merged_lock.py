"""A dvc.lock that a real `git merge` mixes of two trainings: what it tells of never ran."""

from __future__ import annotations

import re

from flows.graph.stage_records import WORKTREE, entry_differences, read_entry
from flows.provenance.audit import audit
from tests.flows import toy

HUNK = re.compile(r"<{7} .*?\n(.*?)={7}\n(.*?)>{7} .*?\n", re.DOTALL)
TARGETS = ("sft@sft", "evaluate@sft")


def trained(project: toy.Project, branch: str, steps: int, samples: int) -> None:
    project.git("checkout", "-qf", "-b", branch, "main")
    project.set("sft.common.steps", steps)
    project.set("evaluate.common.samples", samples)
    assert set(project.bring(*TARGETS)) == set(TARGETS)
    project.git("commit", "-qam", branch)


def resolve(project: toy.Project, path: str, ours: str) -> None:
    """Take this branch's side of the conflicts whose lines match `ours`, and the other's side of the rest."""
    text = (project.folder / path).read_text()
    assert HUNK.search(text), f"git merged {path} by itself"
    (project.folder / path).write_text(
        HUNK.sub(lambda hunk: hunk[1] if re.search(ours, hunk[1]) else hunk[2], text)
    )


def test_parameters_of_one_side_and_outputs_of_the_other(graph: toy.Project) -> None:
    """params.yaml, dvc.lock and the files agree with each other, so that DVC calls every stage fresh; each
    has a record of its own.
    """
    graph.git("add", "-A")
    graph.git("commit", "-qm", "done")
    trained(graph, "theirs", 32, 4)
    trained(graph, "ours", 31, 3)
    merging = graph.python_call(
        "-c",
        "import subprocess; raise SystemExit(subprocess.run(['git', 'merge', '-q', 'theirs']).returncode)",
    )
    assert merging.returncode == 1, "a merge without a conflict"
    resolve(graph, "params.yaml", ".")
    resolve(graph, "dvc.lock", "steps:|samples:")
    assert graph.dvc("checkout", "--force", *TARGETS).returncode == 0
    graph.git("commit", "-qam", "merged")
    assert "up to date" in graph.dvc("status", *TARGETS).stdout

    reasons = {
        row["stage"]: " ".join(row["reasons"]) for row in graph.plan_rows(*TARGETS) if row["action"] != "keep"
    }
    assert set(reasons) == set(TARGETS)
    assert "the records disagree" in reasons["sft@sft"]
    assert "sft.runs.sft.steps 32, dvc.lock says 31" in reasons["sft@sft"]
    assert "the records disagree" in reasons["evaluate@sft"]
    problems = audit(graph.folder, "metrics/evaluate/sft.json")
    for stage in TARGETS:
        assert any(problem.path == f"dvc.lock: {stage}" for problem in problems), problems

    graph.bring(*TARGETS)
    assert graph.plan(*TARGETS) == {}
    assert audit(graph.folder, "metrics/evaluate/sft.json") == []


def test_an_input_that_stands_twice_counts_twice() -> None:
    """A model assessed against itself: an edit of either line is a difference."""

    def entry(first: str, second: str) -> dict:
        return {
            "cmd": "x",
            "deps": [{"path": "models/sft/model", "md5": first}, {"path": "models/sft/model", "md5": second}],
        }

    whole = read_entry("assess@sft", entry("a", "a"), WORKTREE)
    assert entry_differences(read_entry("assess@sft", entry("a", "a"), WORKTREE), whole) == []
    for edited in (entry("b", "a"), entry("a", "b")):
        assert entry_differences(read_entry("assess@sft", edited, WORKTREE), whole)
