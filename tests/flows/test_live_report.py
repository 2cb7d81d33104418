"""The live report: what it shows of a run that goes on, was killed, or has ended, and of files that are just
being written.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.running import now
from flows.running.live import Silent
from flows.running.live_report import location, watch
from flows.running.live_report.figures import draw
from flows.running.live_report.page import write
from flows.running.live_report.snapshot import gather, read_curve, read_head
from tasks.execution_params import ExecutionParams
from tasks.stage import CURVE, SHOWN_SAMPLES, Spec, Stage
from tests.flows.accident import STEPS, Scene, until
from tests.flows.toy import ROOT

EVIL = "<script>alert(1)</script>\u202e\x1b[2J' onload=\"x"
POLICY = [{"step": step, "reward": step / 10, "entropy": 1.0, "length": 5.0} for step in range(6)]
SAMPLE = {"id": "q1", "prompt": "two and two?", "text": "4", "verdict": "right", "reward": 1.0}


class Bench:
    """A project folder with the record of a run in it, whose process is this one."""

    def __init__(self, root: Path):
        self.root = root
        shutil.copy(ROOT / "dvc.yaml", root)
        self.noted = now.Noted(Silent(), root, "20260101-000000-00001")

    def plan(self, **actions: str) -> None:
        self.noted.plan(
            {"stage": name, "action": action, "reasons": [] if action == "keep" else ["never run"]}
            for name, action in ((name.replace("__", "@"), action) for name, action in actions.items())
        )

    def start(self, stage: str, outs: tuple[str, ...] = ()) -> Path:
        work = self.root / ".whetstone/work" / stage
        work.mkdir(parents=True)
        self.noted.started(stage, "never run", str(work), outs)
        return work

    def state(self, stage: str) -> str:
        return next(row.state for row in gather(self.root).stages if row.name == stage)

    def page(self) -> str:
        write(self.root)
        return location(self.root).read_text("utf-8")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_a_run_from_its_plan_to_its_end(bench: Bench):
    bench.plan(base__base="keep", sft__sft="run", rl__grpo_s0="run", rl__grpo_s1="run")
    assert [row.state for row in gather(bench.root).stages] == ["fresh", *["waiting"] * 3]
    for seed in (0, 1):
        work = bench.start(f"rl@grpo_s{seed}")
        (work / CURVE).write_bytes(lines(POLICY))
        rows = [SAMPLE | {"text": f"answer of {seed}"}]
        (work / SHOWN_SAMPLES).write_text(json.dumps({"step": 5 + seed, "rows": rows}))
    bench.noted.progress("rl@grpo_s0", {"done": 5, "total": 20, "left_s": 90.0, "reward": 0.5})
    bench.noted.ended("sft@sft", "Failed", 3.0, f"sft@sft exited with 1: {EVIL}")
    bench.noted._flush()
    page = bench.page()
    assert "answer of 0" in page
    assert "iteration 6" in page
    assert "5 <small>of 20</small>" in page
    assert "reward 0.5 · 1:30 left" in page
    assert bench.state("sft@sft") == "failed"
    assert page.count("data:image/svg+xml") == 3  # reward, entropy, length: the seeds in one figure
    bench.noted.close("failed")
    assert bench.state("rl@grpo_s0") == "stale"
    planned = [{"stage": "sft@sft", "action": "keep", "reasons": []}]  # made again meanwhile, say by DVC
    assert gather(bench.root, planned).stages[0].state == "fresh"
    assert "something failed" in bench.page()


def test_a_killed_run_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    bench.plan(sft__sft="run", report="run")
    bench.start("sft@sft")
    monkeypatch.setattr("tasks.tracking_records.Owner.is_gone", lambda self: True)
    assert "without a closing record" in bench.page()
    assert bench.state("sft@sft") == "cut short"
    assert bench.state("report") == "stale"
    rows = [{"stage": "sft@sft", "action": "keep", "reasons": []}]  # another run has made it meanwhile
    assert gather(bench.root, rows).stages[0].state == "fresh"


def test_what_models_and_stages_wrote_is_escaped(bench: Bench):
    bench.plan(rl__grpo="run")
    work = bench.start("rl@grpo")
    rows = [dict.fromkeys((*SAMPLE, "subject", "answer", "reason", "decoding"), EVIL)]
    (work / SHOWN_SAMPLES).write_text(json.dumps({"step": 1, "rows": rows}))
    (work / CURVE).write_bytes(lines(POLICY))
    bench.noted.say(EVIL)
    bench.noted.ended("rl@grpo", "Stopped", 1.0, EVIL)
    page = bench.page()
    assert "<script>alert" not in page
    assert not re.search("[\u202e\x1b]", page)
    assert 'onload="x' not in page
    assert page.count("&lt;script&gt;alert(1)") >= 6


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 400), tail=st.binary(max_size=12))
def test_half_written_files_show_what_is_whole(
    cut: int, tail: bytes, tmp_path_factory: pytest.TempPathFactory
):
    folder = tmp_path_factory.mktemp("cut")
    whole = lines(POLICY)
    (folder / CURVE).write_bytes(whole[:cut] + tail)
    rows = read_curve(folder / CURVE)
    complete = whole[:cut].count(b"\n")
    assert rows[:complete] == POLICY[:complete]
    assert len(rows) <= complete + 2
    (folder / "samples.jsonl").write_bytes(lines([SAMPLE])[:cut] + tail)
    assert all(isinstance(row, dict) for row in read_head(folder / "samples.jsonl"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"step": 3, "rows": [{"prom',
        b"[]",
        b'{"rows": 3}',
        b'{"rows": [1, null, {"prompt": 3}]}',
        b"\xff\xfe",
    ],
)
def test_samples_that_are_none_are_left_out(bench: Bench, content: bytes):
    bench.plan(rl__grpo="run")
    work = bench.start("rl@grpo")
    (work / SHOWN_SAMPLES).write_bytes(content)
    (work / CURVE).write_bytes(b'{"step": 1, "reward": NaN}\n{"step": "x"}\n[1]\n{"step": 2, "rew')
    assert "No samples yet" in bench.page()
    assert "No stage has a curve yet" in bench.page()


def test_losses_of_different_kinds_have_figures_of_their_own():
    rows = [{"step": step, "loss": 1.0} for step in (1, 2)]
    curves = {"sft@sft": rows, "dpo@dpo": [row | {"drift": 0.1} for row in rows]}
    assert [figure.title for figure in draw(curves)] == ["SFT loss", "Preference loss of policies"]


def test_a_page_that_cannot_be_written_is_told_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    bench.plan(sft__sft="run")
    location(bench.root).mkdir()
    calls = iter([False, False, True])

    def closed_within(seconds: float) -> bool:
        closed = next(calls)
        if closed:
            bench.noted.close("done")
        return closed

    monkeypatch.setattr(watch, "PERIOD_S", 0.0)
    monkeypatch.setattr(watch, "_wait", lambda root, events, wait: wait(0))
    assert watch.watch(bench.root, closed_within) == 1
    assert capsys.readouterr().err.count("Traceback") == 1


def test_samples_of_a_stage_are_asked_for_at_the_log_period(tmp_path: Path):
    asked = []

    def rows() -> list[dict[str, Any]]:
        asked.append(1)
        return [SAMPLE]

    execution = ExecutionParams(log_period_s=3600).model_dump()
    stage = Stage(Spec("rl@grpo", "", str(tmp_path), execution=execution))
    for step in (1, 2, 3):
        stage.show_samples(step, rows)
    assert asked == [1]
    assert json.loads((tmp_path / SHOWN_SAMPLES).read_text()) == {"step": 1, "rows": [SAMPLE]}
    Stage(Spec("rl@grpo", "", str(tmp_path / "missing"))).show_samples(1, rows)  # a folder that is gone


def test_from_the_command_line_a_run_that_is_killed_and_goes_on(scene: Scene):
    scene.stage("sft", STEPS)
    before = scene.shown(["reports"])
    run = scene.launch("run", "sft@sft")
    page = location(scene.folder)
    until(scene.holds)
    until(lambda: page.exists() and "sft@sft" in page.read_text("utf-8"))
    told = json.loads(scene.call("report", "--live", "--json").stdout)
    assert (told["state"], told["stages"]["sft@sft"]) == ("running", "running")
    assert "5 <small>of 12</small>" in page.read_text("utf-8")
    assert "data:image/svg+xml" in page.read_text("utf-8")
    run.kill()
    run.wait()
    until(lambda: "without a closing record" in page.read_text("utf-8"), 30)
    until(lambda: not scene.left(), 30)
    told = json.loads(scene.call("report", "--live", "--json").stdout)
    assert (told["state"], told["stages"]["sft@sft"]) == ("died", "cut short")
    assert (told["stages"]["base@base"], told["stages"]["rl@grpo"]) == ("fresh", "stale")
    scene.go()
    assert scene.call("run", "sft@sft").returncode == 0
    shown = scene.call("report", "--live")
    assert "Ended well" in shown.stdout
    assert str(page) in shown.stdout
    assert scene.shown(["reports"]) == before
    assert not scene.git("status", "--porcelain", "--", ".whetstone").strip()
    assert scene.call("report", "--watch").returncode == 2
