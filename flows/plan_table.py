"""A plan, the status and the end of a run as text for people."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from flows.graph.plan import Plan
from flows.prose_rows import Row, print_prose_rows
from flows.workspace import STATE, read_json
from tasks.stage_warnings import MARK
from tasks.tracking import Tracking

if TYPE_CHECKING:  # `plan` must not pay for what only `run` needs
    from flows.running.run import Ran

COLOURS = {"keep": "dim", "checkout": "cyan", "restore": "cyan", "run": "bold yellow", "run?": "yellow"}
MEANING = {
    "keep": "fresh",
    "checkout": "from the cache",
    "restore": "from the run cache",
    "run": "to run",
    "run?": "to run unless its inputs come out the same",
}
SHOWN_REASONS = 4
HEADLINE_LINES = 12


def print_plan(console: Console, plan: Plan) -> None:
    """Print one row per stage, with its shortest reasons."""
    rows = list[Row]()
    for row in plan.rows:
        shown = list(row.reasons[:SHOWN_REASONS])
        if len(row.reasons) > SHOWN_REASONS:
            shown.append(f"… {len(row.reasons) - SHOWN_REASONS} more (--json has all)")
        rows.append((escape(row.stage), f"[{COLOURS[row.action]}]{row.action}[/]", escape("\n".join(shown))))
    print_prose_rows(console, rows, name=0, titles=("stage", "action", "why"))
    counts = Counter(row.action for row in plan.rows)
    console.print("  ".join(f"{count} {MEANING[action]}" for action, count in counts.items()))
    for note in plan.notes:
        console.print(f"note: {note}", style="yellow", markup=False)


def print_done(console: Console, root: Path, result: Ran) -> None:
    """Print what the results warn of, and where they are."""
    if not result.outcome.how and result.code == 0:
        console.print(f"nothing is stale: {len(result.plan.rows)} stages are fresh")
    for note in result.plan.notes:
        console.print(f"note: {note}", style="yellow", markup=False)
    for stage, warnings in result.warnings.items():
        for warning in warnings:
            console.print(f"{MARK}{stage}: {warning}", style="yellow", markup=False, highlight=False)
    if result.outcome.failed:
        console.print(
            f"\nnot finished: {', '.join(result.outcome.failed)}. The next `whetstone run` resumes from "
            f"here.",
            style="red",
        )
        console.print(f"logs: {root / STATE / 'logs' / result.run}", markup=False)
        return
    console.print()
    page = root / "reports/report.md"
    if "report" in result.outcome.how and page.is_file():  # what it came to, before where it lies
        for line in headline(page.read_text("utf-8"))[1:]:
            console.print(line, markup=False, highlight=False)
        console.print()
    store = Tracking(root).store
    places = [
        ("report", root / "reports/index.html"),
        ("MLflow store", store.file or store.shown),
        ("checkpoints", root / "models"),
    ]
    if result.outcome.how:
        console.print(f"{'run':<14} {result.run}", markup=False)
    for title, location in places:
        if isinstance(location, str) or location.exists():
            console.print(f"{title:<14} {location}", markup=False)
    console.print(
        f"{'look at them':<14} whetstone ui      where a checkpoint came from: whetstone lineage models/NAME",
        style="dim",
    )


def headline(report: str) -> list[str]:
    """Returns title and summary of a report's Markdown: the lines before its first table."""
    lines: list[str] = []
    for line in report.splitlines():
        if line.startswith(("## ", "|", "**", "![")) or len(lines) == HEADLINE_LINES:
            break
        if line.strip():
            lines.append(line.lstrip("# "))
    return lines


def status_of(root: Path, plan: Plan) -> dict[str, Any]:
    """Returns the facts that `whetstone status` shows: counts, the run in progress if there is one, and the
    latest times.
    """
    from flows.graph import aside, recipes
    from flows.running import heal, now, run_records

    owner = read_json(root / STATE / heal.OWNER)
    dead = heal.dead_owner(root)
    live = owner if owner and "pid" in owner and not dead else None
    return {
        "recipe": recipes.active(root),
        "stages": dict(Counter(row.action for row in plan.rows)),
        "stale": [row.stage for row in plan.todo],
        "running": {**live, "now": now.running(root, live["run"])} if live else None,
        "died": dead,
        "aside": [entry.name for entry in aside.entries(root)],
        "last": run_records.last(root),
        "timings": read_json(root / STATE / "timings.json") or {},
    }


def print_status(console: Console, status: dict[str, Any]) -> None:
    """Print what is fresh, and then what runs now or how long each stage took when it last ran."""
    console.print(
        f"recipe {status['recipe']}: "
        + ", ".join(f"{count} {MEANING[action]}" for action, count in status["stages"].items())
    )
    if status["died"]:
        console.print(
            f"the run {status['died']['run']} was killed; `whetstone run` resumes from its checkpoints",
            style="yellow",
        )
    if status["aside"]:
        console.print(f"kept aside, never fresh: {len(status['aside'])} (`whetstone aside`)", style="yellow")
    if status["running"]:
        _print_running(console, status["running"])
    elif status["last"]:
        _print_last(console, status["last"])
    if not status["running"] and status["timings"]:
        console.print("nothing runs now; durations of the stages' latest runs:")
        for stage, times in status["timings"].items():
            console.print(f"  {stage:<20} {times['wall_s']:8.1f} s  {times['action']}", markup=False)


def _print_last(console: Console, last: dict[str, Any]) -> None:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(last["started"]))
    took = "" if last.get("seconds") is None else f" in {last['seconds']:.1f} s"
    console.print(f"last run {last['name']}: {last['outcome']}{took}, begun {when}", markup=False)


def _print_running(console: Console, running: dict[str, Any]) -> None:
    from flows.running.live import figures

    now = running["now"]
    since = f" since {_clock(now['since'])}" if now else ""
    console.print(f"running{since}: {running['run']} (pid {running['pid']})", markup=False)
    for stage, facts in now.get("stages", {}).items():
        row = facts.get("progress") or {}
        steps = f"{row.get('done')}/{row.get('total')}  {figures(row)}" if row else "starting"
        console.print(f"  {stage:<20} {steps}  (since {_clock(facts['since'])})", markup=False)
    if not now.get("stages"):
        console.print("  no stage computes at this moment: it plans, waits or records", style="dim")


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))
