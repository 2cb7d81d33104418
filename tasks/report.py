"""The `report` stage: one page on the results of a run, made from metrics, curves and samples alone
(`reports/index.html`).

The description of a method comes from the metrics of the stage that trained it, not from params.yaml: so the
page describes the models that it shows, and an edit of a preset without a stage makes nothing stale.
Everything in it is reproduced byte for byte except `timings.js`, which holds the runner's times of the runs
so far.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.report_page import entropy, figures, preference_results, preferences, results, verifiers
from tasks.report_page.graph import Box, draw, transitive_reduction
from tasks.report_page.markdown import markdown
from tasks.report_page.page import page
from tasks.report_page.stages import ReportedStages
from tasks.report_params import ReportParams
from tasks.stage import Stage
from tasks.stage_warnings import MARK

TIMINGS = Path(".whetstone/timings.json")  # the runner's: {stage: {wall_s, command_s, action, run}}
GRAPH = Path(".whetstone/graph.json")  # the runner's too: {stage: [the stages that it reads from]}


def run(stage: Stage) -> None:
    """Write `index.html`, `report.md`, `plots/` and `timings.js` into `reports`. Errors name the missing file
    and the stage that makes it.
    """
    settings = stage.section("report", ReportParams)
    stages = ReportedStages(stage.value("stages"))
    subject = results.ReportSubject.of(
        stage.value("evaluate.runs"), stage.value("rl.runs"), stage.value("sft.runs")
    )
    read = results.read(
        stages, stage.input("metrics"), stage.input("curves"), stage.input("samples"), subject
    )
    folder = stage.out("reports")
    drawn, absent = figures.draw(read, folder / "plots", settings.smoothing)
    preferred = _preferences(stage, stages, read)
    more = entropy.sections(_policy_runs(stage, read, preferred), folder / "plots")
    more += preferences.sections(preferred, folder / "plots", settings.smoothing)
    more += verifiers.sections(
        stages,
        stage.input("metrics"),
        stage.input("curves"),
        read.others,
        folder / "plots",
        settings.smoothing,
    )
    warnings = [
        f"{MARK}{name}: {text}"
        for name, texts in stages.warnings(stage.input("metrics"), _members(stage)).items()
        for text in texts
    ]
    (folder / "index.html").write_text(page(read, drawn, absent, settings, more, warnings), "utf-8")
    (folder / "report.md").write_text(markdown(read, drawn, settings, more, warnings), "utf-8")
    timings = f"window.whetstoneTimings = {json.dumps(_noted(stage, TIMINGS, 'timings'), indent=1)};\n"
    graph = f"window.whetstoneGraph = {json.dumps(_graph(_noted(stage, GRAPH, 'other stages')))};\n"
    (folder / "timings.js").write_text(timings + graph, "utf-8")
    stage.progress(1, 1)


def _preferences(
    stage: Stage, stages: ReportedStages, read: results.Results
) -> preference_results.PreferenceResults:
    """Returns the results of the preference branch, limited to the members that the parameters name where the
    stage depends on them.
    """
    shown = set(read.curves)  # a baseline that is no run of sft has its curve here
    metrics, curves, samples = map(stage.input, ("metrics", "curves", "samples"))
    return preference_results.read(stages, metrics, curves, samples, shown, _members(stage))


def _members(stage: Stage) -> dict[str, tuple[str, ...]]:
    """Returns the members of the sections that the stage depends on; files of others are of earlier runs."""
    return {key: tuple(value) for key, value in stage.spec.params.items() if isinstance(value, dict)}


def _policy_runs(
    stage: Stage, read: results.Results, preferred: preference_results.PreferenceResults
) -> dict[str, entropy.TrainedRun]:
    """Returns the methods, and the runs with a model as judge that the parameters name. Other curves are from
    earlier runs.
    """
    named = [name for name in stage.value("rl.runs") if name not in read.methods]
    named += list(stage.value("assess.models")) if "assess.models" in stage.spec.params else []
    runs = {name: entropy.TrainedRun(read.curves[name], read.training[name]) for name in read.methods}
    return runs | {
        name: entropy.TrainedRun(preferred.curves[name], preferred.training[name])
        for name in named
        if name in preferred.curves
    }


def _noted(stage: Stage, path: Path, missing: str) -> Any:
    """Returns the runner's record, or None without one; the page then says that it is missing."""
    try:
        return json.loads(stage.note(path).read_text("utf-8"))
    except FileNotFoundError:
        stage.say(f"{path}: not there, so the page will show no {missing}")
    except json.JSONDecodeError as error:
        stage.say(f"{path}: not JSON ({error}), so the page will show no {missing}")
    return None


def _graph(upstream: Mapping[str, Sequence[str]] | None) -> str | None:
    """Returns all stages of the run as SVG. They are not in the page itself, whose bytes depend on its inputs
    only.
    """
    if not upstream:
        return None
    edges = [(start, end) for end, starts in upstream.items() for start in starts if start in upstream]
    return draw(
        [Box(name, name, "–") for name in upstream],
        transitive_reduction(edges),
        "Stages of this run and what they read from one another",
    )
