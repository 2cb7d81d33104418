"""The `report` stage: one page that shows what the run did, from the metrics, curves and samples alone
(`reports/index.html`).

What a method is comes from the metrics of the stage that trained it, not from params.yaml: so the page tells
of the models that it shows, and an edit of a preset without a stage makes nothing stale. Everything in it
repeats byte for byte except `timings.js`, which holds what the runner wrote down of the runs up to now.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.report_page import entropy, figures, preference_results, preferences, results, verifiers
from tasks.report_page.graph import Box, draw, essential
from tasks.report_page.markdown import markdown
from tasks.report_page.page import page
from tasks.report_params import ReportParams
from tasks.stage import Stage

TIMINGS = Path(".whetstone/timings.json")  # the runner's: {stage: {wall_s, command_s, action, run}}
GRAPH = Path(".whetstone/graph.json")  # the runner's too: {stage: [the stages that it reads from]}


def run(stage: Stage) -> None:
    """Write `index.html`, `report.md`, `plots/` and `timings.js` into `reports`. Errors name the missing file
    and who makes it.
    """
    settings = stage.section("report", ReportParams)
    subject = results.ReportSubject.of(
        stage.value("evaluate.runs"), stage.value("rl.runs"), stage.value("sft.runs")
    )
    found = results.read(stage.input("metrics"), stage.input("curves"), stage.input("samples"), subject)
    folder = stage.out("reports")
    drawn, absent = figures.draw(found, folder / "plots", settings.smoothing)
    liked = _preferences(stage, found)
    more = entropy.sections(_policy_runs(stage, found, liked), folder / "plots")
    more += preferences.sections(liked, folder / "plots", settings.smoothing)
    more += verifiers.sections(
        stage.input("metrics"), stage.input("curves"), found.others, folder / "plots", settings.smoothing
    )
    (folder / "index.html").write_text(page(found, drawn, absent, settings, more), "utf-8")
    (folder / "report.md").write_text(markdown(found, drawn, settings, more), "utf-8")
    timings = f"window.whetstoneTimings = {json.dumps(_noted(stage, TIMINGS, 'timings'), indent=1)};\n"
    whole = f"window.whetstoneGraph = {json.dumps(_graph(_noted(stage, GRAPH, 'other stages')))};\n"
    (folder / "timings.js").write_text(timings + whole, "utf-8")
    stage.progress(1, 1)


def _preferences(stage: Stage, found: results.Results) -> preference_results.PreferenceResults:
    """What there is of the preference branch; the parameters name the models where the stage depends on
    them.
    """
    sections = {
        "assess": "assess.models",
        "wins": "wins",
        "preferences": "preferences",
        "reward_report": "reward_model.runs",
    }
    named = {folder: tuple(stage.value(key)) for folder, key in sections.items() if key in stage.spec.params}
    shown = {found.baseline, *found.methods}
    return preference_results.read(stage.input("metrics"), stage.input("curves"), shown, named)


def _policy_runs(
    stage: Stage, found: results.Results, liked: preference_results.PreferenceResults
) -> dict[str, entropy.TrainedRun]:
    """The methods, and the runs against a verifier or a reward model that the parameters name; others' curves
    are from earlier runs.
    """
    named = [name for name in stage.value("rl.runs") if name not in found.methods]
    named += list(stage.value("assess.models")) if "assess.models" in stage.spec.params else []
    runs = {name: entropy.TrainedRun(found.curves[name], found.training[name]) for name in found.methods}
    return runs | {
        name: entropy.TrainedRun(liked.curves[name], liked.training[name])
        for name in named
        if name in liked.curves
    }


def _noted(stage: Stage, path: Path, what: str) -> Any:
    """The runner's record, or None: a page without it is better than none, and the page says so."""
    try:
        return json.loads(stage.note(path).read_text("utf-8"))
    except FileNotFoundError:
        stage.say(f"{path}: not there, so the page will show no {what}")
    except json.JSONDecodeError as error:
        stage.say(f"{path}: not JSON ({error}), so the page will show no {what}")
    return None


def _graph(upstream: Mapping[str, Sequence[str]] | None) -> str | None:
    """All stages of the run as SVG; the page itself, whose bytes say nothing of what they do not hold, knows
    those of its own results.
    """
    if not upstream:
        return None
    edges = [(start, end) for end, starts in upstream.items() for start in starts if start in upstream]
    return draw(
        [Box(name, name, "–") for name in upstream],
        essential(edges),
        "Stages of this run and what they read from one another",
    )
