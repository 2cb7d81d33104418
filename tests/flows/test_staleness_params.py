"""Which edits of parameters make which stages stale, and what going back costs (acceptance table of the
foundation).
"""

from __future__ import annotations

import pytest

from tests.flows.toy import BELOW_RL, BELOW_SFT, Project, method


def test_a_default_that_nobody_overrides_runs_the_stages_that_use_it(graph: Project):
    graph.edit(
        "pipelines/training/options.py",
        "validation_size: int = Field(200",
        "validation_size: int = Field(201",
    )
    assert set(graph.plan()) == {"sft@sft", *BELOW_SFT}
    assert graph.reasons("sft@sft") == [
        "param sft.runs.sft.validation_size 200 -> 201",
        "code pipelines.training.options.SupervisedParams changed",
    ]
    assert graph.bring("sft@sft") == {"sft@sft": "run"}
    assert graph.ran() == ["sft@sft"]
    assert '"validation_size": 201' in (graph.folder / "models/sft/model/content.txt").read_text()


def test_a_default_that_is_written_out_runs_nothing(graph: Project):
    """Whichever of the layers says it: the settings as resolved are the same."""
    for key, value in (
        ("sft.common.validation_size", 200),
        ("sft.runs.sft.aggregation", "token_mean"),
        ("rl.common.max_error_share", 0.05),
        ("rl.methods.other.objective", {"kind": "plain"}),
        ("rl.runs.other.epochs", 1),
        ("evaluate.runs.sft.samples", 1),
        ("corpus.exam.max_bad_rows", 0.01),
        ("base.runs.base.architecture.family", "qwen2"),
    ):
        graph.set(key, value)
    assert graph.plan() == {}
    graph.set("rl.common.max_error_share", 0.06)  # which both runs take
    assert {name for name, action in graph.plan().items() if action == "run"} == {"rl@grpo", "rl@other"}
    graph.set("rl.runs.other.max_error_share", 0.05)
    assert set(graph.plan()) == method("grpo")


def test_an_identity_parameter_of_one_stage_runs_it_and_what_is_below(graph: Project):
    graph.set("rl.methods.other.max_error_share", 0.1)
    planned = graph.plan()
    assert set(planned) == method("other")
    assert planned["rl@other"] == "run"
    assert graph.reasons("rl@other") == ["param rl.runs.other.max_error_share 0.05 -> 0.1"]
    assert set(graph.bring()) == method("other")
    assert set(graph.ran()) == method("other")


def test_the_evaluations_settings_leave_every_model_alone(graph: Project):
    graph.set("evaluate.common.samples", 2)
    assert set(graph.plan()) == {"evaluate@sft", *BELOW_RL}


def test_the_seed_makes_everything_stale_that_draws(graph: Project):
    graph.set("identity.seed", 1)
    assert {name for name, action in graph.plan().items() if action == "run"} == {
        "corpus@exam",
        "base@base",
        "sft@sft",
        *BELOW_SFT,
    } - {"report"}


@pytest.mark.parametrize(
    ("key", "value"),
    [("threads", 2), ("log_period_s", 7), ("micro_batch_tokens", 64), ("jobs", 1), ("device", "cpu")],
)
def test_an_execution_setting_runs_nothing(graph: Project, key: str, value: object):
    graph.set(f"execution.{key}", value)
    assert graph.plan() == {}


def test_a_changed_default_of_an_execution_setting_runs_nothing(graph: Project):
    graph.edit("tasks/execution_params.py", "16384, ge=1", "8192, ge=1")
    assert graph.plan() == {}


def test_there_and_back_restores_and_trains_nothing(graph: Project):
    before = (graph.folder / "dvc.lock").read_text()
    graph.set("rl.methods.other.max_error_share", 0.1)
    graph.bring()
    assert set(graph.ran()) == method("other")
    graph.set("rl.methods.other.max_error_share", None)
    assert graph.plan() == dict.fromkeys(method("other"), "restore")  # exact through the chain
    assert graph.bring() == dict.fromkeys(method("other"), "restore")
    assert graph.ran() == []
    assert (graph.folder / "dvc.lock").read_text() == before
    graph.set("rl.methods.other.max_error_share", 0.1)
    assert graph.plan() == dict.fromkeys(method("other"), "restore")


def test_force_runs_the_target_and_spares_what_is_below_when_it_comes_out_the_same(graph: Project):
    assert graph.plan("rl@other", "--force") == {"rl@other": "run"}
    assert graph.bring("rl@other", "--force") == {"rl@other": "run"}
    assert graph.ran() == ["rl@other"]
    assert graph.plan() == {}


def test_a_new_method_adds_its_stage_and_a_removed_one_takes_its_metrics_along(graph: Project):
    graph.set("rl.runs.other", None)
    graph.set("evaluate.runs.other", None)
    assert graph.plan() == {"report": "run"}
    assert graph.bring() == {"report": "run"}
    assert not (graph.folder / "metrics/train/other.json").exists()  # the report reads the folder as a whole
    assert graph.dvc("status", "-q").returncode == 0
    graph.set("rl.runs.other", {"method": "other", "start": "sft", "data": "exam", "judge": "none"})
    graph.set("evaluate.runs.other", {"model": "other", "data": "exam"})
    graph.bring()
    assert set(graph.ran()) <= {"report"}
    assert (graph.folder / "metrics/train/other.json").exists()
