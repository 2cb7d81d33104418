"""The `report` stage: one page that shows what the run did, from the metrics, curves and samples alone (`reports/index.html`).

What a method is comes from the metrics of the stage that trained it, not from params.yaml: so the page tells of the models that it shows,
and an edit of a preset without a stage makes nothing stale. Everything in it repeats byte for byte except `timings.js`, which holds what
the runner wrote down of the runs up to now.
"""

from __future__ import annotations

import json
from pathlib import Path

from tasks.report_page import figures, preference_results, preferences, results, verifiers
from tasks.report_page.markdown import markdown
from tasks.report_page.page import page
from tasks.report_params import ReportParams
from tasks.stage import Stage

TIMINGS = Path(".whetstone/timings.json")  # the runner's: {stage: {wall_s, command_s, action, run}}


def run(stage: Stage) -> None:
    """Write `index.html`, `report.md`, `plots/` and `timings.js` into `reports`. Errors name the missing file and who makes it."""
    settings = stage.section("report", ReportParams)
    found = results.read(
        stage.input("metrics"),
        stage.input("curves"),
        stage.input("samples"),
        corpus=stage.value("train.corpus"),
        methods=stage.value("rl.methods"),
        models=stage.value("evaluate.models"),
    )
    folder = stage.out("reports")
    drawn, absent = figures.draw(found, folder / "plots", settings.smoothing)
    more = preferences.sections(_preferences(stage, found), folder / "plots", settings.smoothing)
    more += verifiers.sections(stage.input("metrics"), stage.input("curves"), folder / "plots", settings.smoothing)
    (folder / "index.html").write_text(page(found, drawn, absent, settings, more), "utf-8")
    (folder / "report.md").write_text(markdown(found, drawn, settings, more), "utf-8")
    (folder / "timings.js").write_text(f"window.whetstoneTimings = {json.dumps(_timings(stage), indent=1)};\n", "utf-8")
    stage.progress(1, 1)


def _preferences(stage: Stage, found: results.Results) -> preference_results.PreferenceResults:
    """What there is of the preference branch; the parameters name the models where the stage depends on them."""
    sections = {"assess": "assess.models", "wins": "wins", "preferences": "preferences", "reward_report": "reward_model.runs"}
    named = {folder: tuple(stage.value(key)) for folder, key in sections.items() if key in stage.spec.params}
    shown = {results.BASELINE, *found.methods}
    return preference_results.read(stage.input("metrics"), stage.input("curves"), shown, named)


def _timings(stage: Stage) -> object:
    """The runner's record, or None: a page without timings is better than none, and the page says so."""
    try:
        return json.loads(TIMINGS.read_text("utf-8"))
    except FileNotFoundError:
        stage.say(f"{TIMINGS}: not there, so the page will show no timings")
    except json.JSONDecodeError as error:
        stage.say(f"{TIMINGS}: not JSON ({error}), so the page will show no timings")
    return None
