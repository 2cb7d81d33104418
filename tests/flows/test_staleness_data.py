"""Raw data, templates, deleted and tampered outputs, dependencies that come and go (acceptance table of the
foundation).
"""

from __future__ import annotations

import shutil

import pytest

from tests.flows.toy import ALL, Project

ROWS = "raw/toy/rows.txt"


def test_raw_data_that_changes_the_corpus_runs_it_and_all_below(graph: Project):
    graph.edit(ROWS, "three", "four")
    planned = graph.plan()
    assert set(planned) == ALL
    assert planned["corpus@exam"] == "run"
    assert graph.reasons("corpus@exam")[0].startswith("raw/toy changed")
    assert set(graph.bring("sft@sft")) == {"corpus@exam", "base@base", "sft@sft"}
    assert graph.ran() == ["base@base", "corpus@exam", "sft@sft"]


def test_raw_data_that_leaves_the_corpus_equal_runs_nothing_below(graph: Project):
    graph.edit(ROWS, "one  two", "one two")  # the corpus normalises white space
    planned = graph.plan()
    assert planned.pop("corpus@exam") == "run"
    assert set(planned.values()) == {"run?"}
    assert graph.bring() == {"corpus@exam": "run"}
    assert graph.ran() == ["corpus@exam"]
    assert graph.plan() == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("base.runs.base.template.prompt", "<|user|>{query}\n<|assistant|>"),
        ("base.runs.base.tokenizer.vocab_size", 160),
    ],
)
def test_template_and_tokenizer_are_the_models_and_no_matter_of_the_data(
    graph: Project, key: str, value: object
):
    graph.set(key, value)
    planned = graph.plan()
    assert set(planned) == ALL - {"corpus@exam"}
    assert planned["base@base"] == "run"
    assert any(reason.startswith(f"param {key} ") for reason in graph.reasons("base@base"))
    assert graph.bring("base@base") == {"base@base": "run"}
    assert graph.ran() == ["base@base"]


def test_a_token_limit_runs_the_corpus_and_below(graph: Project):
    graph.set("corpus.exam.max_prompt_tokens", 60)
    planned = graph.plan()
    assert (set(planned), planned["corpus@exam"]) == (ALL, "run")
    assert graph.bring("base@base") == {"corpus@exam": "run", "base@base": "run"}


def test_deleted_outputs_come_back_by_checkout(graph: Project):
    before = (graph.folder / "models/sft/model/content.txt").read_text()
    shutil.rmtree(graph.folder / "models/sft/model")
    (graph.folder / "metrics/evaluate/grpo.json").unlink()
    shutil.rmtree(graph.folder / "data")
    expected = {"sft@sft": "checkout", "evaluate@grpo": "checkout", "corpus@exam": "checkout"}
    assert graph.plan() == expected
    assert set(graph.bring()) == set(expected)
    assert graph.ran() == []
    assert (graph.folder / "models/sft/model/content.txt").read_text() == before
    assert graph.plan() == {}


def test_a_tampered_output_is_brought_back_not_used(graph: Project):
    path = graph.folder / "models/sft/model/content.txt"
    before = path.read_text()
    path.unlink()  # it may be a link into the cache
    path.write_text(before.replace("a", "b"))
    assert graph.plan() == {"sft@sft": "checkout"}
    graph.bring()
    assert path.read_text() == before
    assert graph.ran() == []


def test_a_tampered_metric_is_brought_back(graph: Project):
    path = graph.folder / "metrics/train/sft.json"
    path.unlink()
    path.write_text('{"accuracy": 1.0}')
    assert graph.plan() == {"sft@sft": "checkout"}
    graph.bring()
    assert "accuracy" not in path.read_text()


def test_outputs_that_are_gone_from_the_cache_too_are_made_again(graph: Project):
    shutil.rmtree(graph.folder / "models/base")
    shutil.rmtree(graph.folder / ".dvc/cache")
    # as DVC: what is not in the cache counts as not made
    assert graph.plan("base@base") == {"corpus@exam": "run", "base@base": "run?"}
    assert "models/base/model is missing and not in the cache" in graph.reasons("base@base")
    assert "data/exam/records is not in the cache (`dvc commit corpus@exam` puts it there)" in graph.reasons(
        "corpus@exam"
    )
    assert graph.dvc("commit", "-f", "corpus@exam").returncode == 0
    assert graph.bring("base@base") == {"base@base": "run"}
    assert graph.ran() == ["base@base"]


def test_a_missing_raw_file_is_said(graph: Project):
    shutil.rmtree(graph.folder / "raw/toy")
    assert graph.reasons("corpus@exam")[0] == "raw/toy is missing"
    done = graph.python_call(".whetstone/bring.py")
    assert done.returncode == 1
    assert "raw/toy" in done.stdout


def test_a_dependency_removed_from_the_graph_is_said(graph: Project):
    graph.edit("dvc.yaml", "deps: [metrics, curves, samples]", "deps: [metrics, samples]")
    row = next(row for row in graph.plan_rows() if row["stage"] == "report")
    assert row["action"] == "keep"  # as DVC, which does not notice
    assert row["notes"] == [
        "no longer depends on curves, which made the recorded result; DVC does not notice, --force reruns"
    ]
    assert "note: report: no longer depends on curves" in graph.call("plan").stdout


def test_a_parameter_removed_from_the_graph_is_said(graph: Project):
    graph.edit("dvc.yaml", "rl.runs, evaluate.runs,", "rl.runs,")
    assert graph.plan() == {"report": "run"}
    assert "param evaluate.runs.sft.data 'exam' -> '(absent)'" in graph.reasons("report")


def test_a_dependency_added_to_the_graph_runs_the_stage(graph: Project):
    graph.edit("dvc.yaml", "deps: [metrics, curves, samples]", "deps: [metrics, curves, samples, raw/toy]")
    assert graph.plan() == {"report": "run"}
    assert graph.reasons("report") == ["new dependency raw/toy"]
    assert graph.bring() == {"report": "run"}  # and does not take it for one that changed meanwhile
    assert graph.plan() == {}


def test_a_changed_command_runs_the_stage(graph: Project):
    graph.edit("dvc.yaml", "cmd: python -m tasks report", "cmd: python  -m tasks report")
    assert graph.plan()["report"] == "run"
    assert "command 'python -m tasks report'" in graph.reasons("report")[0]
