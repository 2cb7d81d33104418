"""Plan, status and the end of a run as a person reads them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.graph.plan import Plan
from flows.workspace import STATE, read_json

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


def print_plan(console: Console, plan: Plan) -> None:
    """A row per stage with its shortest reasons."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("stage", "action", "why"):
        table.add_column(title, overflow="fold", no_wrap=title != "why")
    for row in plan.rows:
        shown = list(row.reasons[:SHOWN_REASONS])
        if len(row.reasons) > SHOWN_REASONS:
            shown.append(f"… {len(row.reasons) - SHOWN_REASONS} more (--json has all)")
        table.add_row(escape(row.stage), f"[{COLOURS[row.action]}]{row.action}[/]", escape("\n".join(shown)))
    console.print(table)
    counts = Counter(row.action for row in plan.rows)
    console.print("  ".join(f"{count} {MEANING[action]}" for action, count in counts.items()))
    for note in plan.notes:
        console.print(f"note: {note}", style="yellow", markup=False)


def print_done(console: Console, root: Path, ran: Ran) -> None:
    """Where the results lie."""
    if not ran.outcome.how and ran.code == 0:
        console.print(f"nothing is stale: {len(ran.plan.rows)} stages are fresh")
    for note in ran.plan.notes:
        console.print(f"note: {note}", style="yellow", markup=False)
    if ran.outcome.failed:
        console.print(
            f"\nnot ended well: {', '.join(ran.outcome.failed)}. The next `whetstone run` goes on from here.",
            style="red",
        )
        console.print(f"logs: {root / STATE / 'logs' / ran.run}", markup=False)
        return
    console.print()
    for title, path in (("report", "reports/index.html"), ("MLflow store", f"{STATE}/mlflow.db"), ("checkpoints", "models")):
        if (root / path).exists():
            console.print(f"{title:<14} {root / path}", markup=False)
    console.print(f"{'look at them':<14} whetstone ui      where a checkpoint came from: whetstone lineage models/sft", style="dim")


def status_of(root: Path, plan: Plan) -> dict[str, Any]:
    """For `whetstone status`: counts, the run in progress if there is one, the last times."""
    from flows.graph import aside, recipes
    from flows.running import heal

    owner = read_json(root / STATE / heal.OWNER)
    dead = heal.dead_owner(root)
    return {
        "recipe": recipes.active(root),
        "stages": dict(Counter(row.action for row in plan.rows)),
        "stale": [row.stage for row in plan.todo],
        "running": owner if owner and "pid" in owner and not dead else None,
        "died": dead,
        "aside": [kept.name for kept in aside.entries(root)],
        "timings": read_json(root / STATE / "timings.json") or {},
    }


def print_status(console: Console, found: dict[str, Any]) -> None:
    console.print(f"recipe {found['recipe']}: " + ", ".join(f"{count} {MEANING[action]}" for action, count in found["stages"].items()))
    if found["running"]:
        console.print(f"running: {found['running']['run']} (pid {found['running']['pid']})")
    if found["died"]:
        console.print(f"the run {found['died']['run']} was killed; `whetstone run` goes on from its checkpoints", style="yellow")
    if found["aside"]:
        console.print(f"kept aside, never fresh: {len(found['aside'])} (`whetstone aside`)", style="yellow")
    for stage, times in found["timings"].items():
        console.print(f"  {stage:<20} {times['wall_s']:8.1f} s  {times['action']}", markup=False)
