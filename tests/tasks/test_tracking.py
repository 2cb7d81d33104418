"""Tracking records everything and can fail in any way without failing, or holding up, a stage."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.process_metrics import ProcessTree
from tasks.tracking import CURRENT, Tracking, model_name
from tasks.tracking_records import Owner, flat, public, without_secrets

DIGEST = "a" * 32 + ".dir"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables made: MLflow takes seconds for that."""
    root = tmp_path_factory.mktemp("store")
    assert Tracking(root).start_flow() is not None
    return root / ".whetstone" / "mlflow.db"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def tracking(empty_store: Path, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> Tracking:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / ".whetstone").mkdir()
    shutil.copy(empty_store, tmp_path / ".whetstone" / "mlflow.db")
    return Tracking(tmp_path, say=said.append, patience_s=0.5)


def test_what_a_stage_ends_with_is_no_point_of_its_curve(tracking: Tracking) -> None:
    run = tracking.start_stage(None, "rl@grpo")
    tracking.log_rows(run, [{"step": step, "reward": step / 10, "odd?name": 1.0} for step in range(1, 4)])
    tracking.end(run, "FINISHED", metrics={"reward": 0.9, "odd?name": 2.0, "tokens": 7, "by": {"add": 0.5}})
    client = tracking.store.client()
    assert [(point.step, point.value) for point in client.get_metric_history(run, "reward")] == [
        (1, 0.1),
        (2, 0.2),
        (3, 0.3),
    ]
    kept = client.get_run(run).data.metrics
    assert kept["reward"] == 0.3
    assert (kept["final/reward"], kept["final/odd_name"], kept["tokens"], kept["by.add"]) == (
        0.9,
        2.0,
        7,
        0.5,
    )


def test_a_flow_with_a_stage_leaves_everything_in_the_store(
    tracking: Tracking, tmp_path: Path, said: list[str]
) -> None:
    flow = tracking.start_flow(
        [{"stage": "sft", "action": "run"}], {"git.commit": "c0ffee", "git.dirty": True}
    )
    params = {"sft": {"lr": 0.1, "max_new_tokens": 4}, "identity.seed": 0}
    run = tracking.start_stage(
        flow, "sft", ["param sft.lr 0.2 -> 0.1"], params, {"data/exam/records": DIGEST}, key="k1"
    )
    tracking.log_rows(
        run, [{"step": step, "loss": 1 / (step + 1), "note": "text", "none": None} for step in range(2500)]
    )
    tracking.log_system(run, {"cpu_percent": 50.0})
    tracking.log_system(run, {"cpu_percent": 60.0})
    tracking.end(run, "FINISHED", {"drift": "no"}, {"validation": {"greedy": 0.5}})
    tracking.end(flow, "FINISHED")

    client = tracking.store.client()
    kept = client.get_run(run)
    assert kept.info.status == "FINISHED"
    assert kept.data.tags["mlflow.parentRunId"] == flow
    assert kept.data.tags["stage.key"] == "k1"
    assert kept.data.tags["why"] == "param sft.lr 0.2 -> 0.1"
    assert kept.data.params == {"sft.lr": "0.1", "sft.max_new_tokens": "4", "identity.seed": "0"}
    assert set(kept.data.metrics) == {"loss", "system/cpu_percent", "validation.greedy"}
    history = client.get_metric_history(run, "loss")
    assert [row.step for row in history] == list(range(2500))
    assert history[3].value == 0.25
    assert [(row.step, row.value) for row in client.get_metric_history(run, "system/cpu_percent")] == [
        (0, 50.0),
        (1, 60.0),
    ]
    dataset = kept.inputs.dataset_inputs[0].dataset
    assert (dataset.name, dataset.digest, json.loads(dataset.source)["uri"]) == (
        "data/exam/records",
        DIGEST,
        f"dvc://{DIGEST}/data/exam/records",
    )
    plan = Path(client.get_run(flow).info.artifact_uri.removeprefix("file://")) / "plan.json"
    assert json.loads(plan.read_text())[0]["stage"] == "sft"
    assert client.get_run(flow).data.tags["git.dirty"] == "True"
    assert said == []


def test_a_curve_is_followed_line_by_line_and_again_after_it_was_cut(
    tracking: Tracking, tmp_path: Path
) -> None:
    run, curve = tracking.start_stage(None, "sft"), tmp_path / "curve.jsonl"
    assert tracking.follow(run, curve) == 0
    curve.write_text('{"step": 0, "loss": 3}\n{"step": 1, "lo')
    offset = tracking.follow(run, curve)
    assert offset == len('{"step": 0, "loss": 3}\n')
    curve.write_text('{"step": 0, "loss": 3}\n{"step": 1, "loss": 2}\n')
    offset = tracking.follow(run, curve, offset)
    curve.write_text('{"step": 0, "loss": 3}\n')  # a resumed stage writes the rest anew
    tracking.follow(run, curve, offset)
    steps = {(row.step, row.value) for row in tracking.store.client().get_metric_history(run, "loss")}
    assert steps == {(0, 3.0), (1, 2.0)}


def test_a_model_is_registered_once_per_content_and_the_alias_follows(tracking: Tracking) -> None:
    other = "b" * 32 + ".dir"
    assert (
        tracking.register("sft", "models/sft/model", DIGEST, None, {"git.commit": "c", "hub_token": "x"})
        == "1"
    )
    assert tracking.register("sft", "models/sft/model", other) == "2"
    # A -> B -> A: restored, not a third version
    assert tracking.register("sft", "models/sft/model", DIGEST) == "1"
    rows = tracking.versions("sft")
    assert rows is not None
    assert [(row["version"], row["source"], row["aliases"]) for row in rows] == [
        ("1", f"dvc://{DIGEST}/models/sft/model", [CURRENT]),
        ("2", f"dvc://{other}/models/sft/model", []),
    ]
    assert rows[0]["tags"] == {
        "git.commit": "c",
        "dvc.md5": DIGEST,
        "dvc.path": "models/sft/model",
        "stage": "sft",
    }
    assert tracking.versions("unknown") == []
    assert (model_name("models/grpo/model"), model_name("models/x")) == ("grpo", "x")


def test_parallel_stages_that_log_one_dataset(tracking: Tracking, tmp_path: Path, said: list[str]) -> None:
    """Two clients without a common lock, as two processes have it: half of such flows failed before the
    retry.
    """
    runs: list[str | None] = []
    clients = [Tracking(tmp_path, say=said.append) for _ in range(3)]

    def work(client: Tracking) -> None:
        runs.extend(
            client.start_stage(None, "s", inputs={f"data/{i}": DIGEST for i in range(3)}) for _ in range(2)
        )

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == []
    assert len(runs) == 6
    assert all(len(tracking.store.client().get_run(run).inputs.dataset_inputs) == 3 for run in runs)


def test_runs_of_dead_owners_are_marked_killed_and_others_left_alone(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tracking.start_flow()
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    with monkeypatch.context() as patch:
        patch.setattr(Owner, "this", classmethod(lambda cls: Owner(process.pid, os.uname().nodename, 1.0)))
        dead = tracking.start_stage(mine, "sft")
    with monkeypatch.context() as patch:
        patch.setattr(Owner, "this", classmethod(lambda cls: Owner(process.pid, "another-host", 1.0)))
        far = tracking.start_stage(mine, "sft")
    with monkeypatch.context() as patch:  # the process id lives on, but as another process
        patch.setattr(Owner, "this", classmethod(lambda cls: Owner(os.getpid(), os.uname().nodename, 1.0)))
        reused = tracking.start_stage(mine, "sft")
    assert dead
    assert far
    assert reused
    assert mine
    assert set(tracking.heal() or []) >= {dead, reused}
    status = {run: tracking.store.client().get_run(run).info.status for run in (mine, dead, far, reused)}
    assert status == {mine: "RUNNING", dead: "KILLED", far: "RUNNING", reused: "KILLED"}


def test_looking_for_dead_runs_loads_no_mlflow_when_there_are_none(tmp_path: Path) -> None:
    code = "import sys; from tasks.tracking import Tracking as T; t = T(sys.argv[1]); t.heal(); t.versions('x');print('mlflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
    assert not (tmp_path / ".whetstone").exists()


# -- the store is out of order -------------------------------------------------------------------------------


def everything(tracking: Tracking) -> None:
    """What a run of one stage calls."""
    flow = tracking.start_flow([], {})
    run = tracking.start_stage(flow, "sft", "why", {"a": 1}, {"data": DIGEST})
    tracking.log_rows(run, [{"step": 0, "loss": 1.0}])
    tracking.log_system(run, {"cpu_percent": 1.0})
    tracking.register("sft", "models/sft/model", DIGEST, run)
    tracking.end(run)
    tracking.heal()


@pytest.fixture
def locked(tracking: Tracking) -> Iterator[Tracking]:
    """Another process holds the store in an exclusive transaction."""
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN EXCLUSIVE');"
        "print('locked', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tracking.store.file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout
    assert holder.stdout.readline()
    yield tracking
    holder.communicate()


def test_a_locked_store_costs_a_bounded_wait_and_one_warning(locked: Tracking, said: list[str]) -> None:
    started = time.monotonic()
    everything(locked)
    assert time.monotonic() - started < 3
    assert len(said) == 1
    assert "locked" in said[0]
    assert "goes on without tracking" in said[0]
    assert "end the process that holds the file" in said[0]


def under_a_file(tracking: Tracking) -> str:
    assert tracking.store.file
    shutil.rmtree(tracking.store.file.parent)
    tracking.store.file.parent.write_text("a file where a folder should be")
    return "can be written"


def corrupted(tracking: Tracking) -> str:
    assert tracking.store.file
    tracking.store.file.write_bytes(b"no database" * 1000)
    return "move the broken file away"


def cut_short(tracking: Tracking) -> str:
    assert tracking.store.file
    data = tracking.store.file.read_bytes()
    tracking.store.file.write_bytes(data[: len(data) // 3])
    return "move the broken file away"


def deleted_in_the_run(tracking: Tracking) -> str:
    assert tracking.store.file
    assert tracking.start_flow()
    tracking.store.file.unlink()
    return "removed or replaced"


def replaced_in_the_run(tracking: Tracking) -> str:
    assert tracking.store.file
    assert tracking.start_flow()
    copy = tracking.store.file.with_suffix(".copy")
    shutil.copy(tracking.store.file, copy)
    os.replace(copy, tracking.store.file)
    return "removed or replaced"


@pytest.mark.parametrize(
    "damage", [under_a_file, corrupted, cut_short, deleted_in_the_run, replaced_in_the_run]
)
def test_a_broken_store_warns_once_with_a_way_out(
    damage: Callable[[Tracking], str], tracking: Tracking, said: list[str]
) -> None:
    expected = damage(tracking)
    started = time.monotonic()
    everything(tracking)
    assert time.monotonic() - started < 5
    assert len(said) == 1
    assert said[0].startswith("MLflow store ")
    assert expected in said[0]
    assert "; fix: " in said[0]


def test_a_server_that_is_gone(tmp_path: Path, said: list[str]) -> None:
    tracking = Tracking(tmp_path, uri="http://user:hunter2@127.0.0.1:9", say=said.append)
    started = time.monotonic()
    everything(tracking)
    assert time.monotonic() - started < 15
    assert len(said) == 1
    assert "start the server" in said[0]
    assert "hunter2" not in said[0]


def test_a_deleted_experiment_is_restored_also_in_the_middle_of_a_run(
    tracking: Tracking, tmp_path: Path, said: list[str]
) -> None:
    assert tracking.start_flow()
    client = tracking.store.client()
    experiment = client.get_experiment_by_name("whetstone").experiment_id
    client.delete_experiment(experiment)
    assert tracking.start_stage(None, "sft")
    client.delete_experiment(experiment)
    assert Tracking(tmp_path, say=said.append).start_flow()
    assert [text for text in said if "had been deleted and is restored" not in text] == []
    assert len(said) == 2


def test_the_users_experiment_is_taken_or_named(
    tracking: Tracking, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    run = tracking.start_flow()
    client = tracking.store.client()
    assert client.get_experiment(client.get_run(run).info.experiment_id).name == "mine"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    assert client.get_run(tracking.start_flow()).info.experiment_id == "0"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "4711")
    assert tracking.start_flow() is None
    (text,) = said
    assert "fix: correct MLFLOW_EXPERIMENT_ID=4711" in text


def test_a_store_that_comes_back_is_used_again(
    tracking: Tracking, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.tracking.PAUSE_S", 0.0)
    with sqlite3.connect(tracking.store.file or "", isolation_level=None) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        assert tracking.start_flow() is None
        holder.execute("ROLLBACK")
    assert tracking.start_flow() is not None
    assert len(said) == 1


def test_an_error_of_the_program_is_not_taken_for_one_of_the_store(tracking: Tracking) -> None:
    rows: Any = [{"step": "no number", "loss": 1.0}]
    with pytest.raises(ValueError, match="no number"):
        tracking.log_rows("run", rows)


# -- what goes in --------------------------------------------------------------------------------------------


def test_credentials_are_left_out_and_token_counts_are_not() -> None:
    secret = [
        "hf_token",
        "token",
        "api_key",
        "aws.secret",
        "db-password",
        "AUTH",
        "private_key",
        "my.credentials",
        "OPENAI_API_KEY",
    ]
    plain = [
        "max_new_tokens",
        "tokens_per_s",
        "tokenizer",
        "eos_token",
        "author",
        "keys",
        "micro_batch_tokens",
        "secretary",
    ]
    assert set(public(dict.fromkeys([*secret, *plain], 1))) == set(plain)
    assert flat({"hub": {"token": "x", "name": "n"}, "secret": {"a": {"b": 1}}}) == {"hub.name": "n"}
    assert public({"remote": "https://me:pw@host/x"}) == {"remote": "https://me:***@host/x"}
    assert public({"url": "see https://h/x?a=1&api_key=pw#y"}) == {"url": "see https://h/x?a=1&api_key=***#y"}
    nested = {
        "execution": {"notify": {"url": "x"}, "token": "x", "rows": [{"secret": 1, "at": "s://u:pw@h"}]}
    }
    assert without_secrets(nested) == {"execution": {"rows": [{"at": "s://u:***@h"}]}}


@given(
    st.recursive(
        st.integers(),
        lambda inner: st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
        max_leaves=8,
    )
)
def test_flattening_keeps_every_leaf(value: Any) -> None:
    def leaves(tree: Any) -> int:
        return sum(map(leaves, tree.values())) if isinstance(tree, dict) else 1

    tree = {"root": value}
    assert len(flat(tree)) == leaves(tree)


def test_a_process_tree_is_sampled_with_its_children() -> None:
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'input()'], stdin=0).wait()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    try:
        tree, seen, until = ProcessTree(process.pid), 0.0, time.monotonic() + 10
        while seen < 2 and time.monotonic() < until:
            sample = tree.sample()
            seen = sample.get("processes", 0)
            time.sleep(0.02)
        assert seen == 2
        assert sample["memory_mb"] > 1
        assert sample["cpu_percent"] >= 0
    finally:
        process.communicate(b"\n")
    assert tree.sample() == {}
