"""`whetstone plan`, `run`, `status`, `doctor`: the graph and this machine."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from flows.command_line import (
    checked_name,
    edited,
    err,
    error_message,
    fail,
    make_plan,
    out,
    own_settings,
    project,
    rehearse,
    tried_rewards,
    write_edited,
)
from flows.commands.options import AsJson, DryRun, Jobs, Name, Settings, Supposed, Targets, Verbose


def plan(
    targets: Targets = None,
    force: Annotated[bool, typer.Option("--force", help="Plan the targets as if stale.")] = False,
    settings: Supposed = None,
    as_json: AsJson = False,
) -> None:
    """Show what would run, and why; changes nothing.

    Example: [bold]whetstone plan rl -S rl.common.optimiser.learning_rate=1e-4[/]
    """
    root = project(as_json)
    text, added = edited(root, settings, targets, as_json) or (None, [])
    own = own_settings(root, as_json, text)
    planned = make_plan(root, targets, force, as_json, text)
    rewards = tried_rewards(root, planned.params, as_json)
    if added:
        err.print(f"params.yaml: `whetstone run` would add {', '.join(added)}", style="yellow", markup=False)
    if as_json:
        print(
            json.dumps(
                {
                    **own,
                    **({"rewards": rewards} if rewards else {}),
                    "stale": len(planned.todo),
                    "stages": [row.as_json() for row in planned.rows],
                },
                indent=1,
            )
        )
        return
    from flows.plan_table import print_plan

    print_plan(out, planned)


def run(
    targets: Targets = None,
    settings: Settings = None,
    force: Annotated[bool, typer.Option("--force", help="Run the targets even when they are fresh.")] = False,
    jobs: Jobs = 0,
    name: Name = "",
    verbose: Verbose = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Bring everything (or the targets and what they need) up to date, running only what is stale.

    Example: [bold]whetstone run report -S sft.common.steps=500 --jobs 2[/]
    """
    root = project(as_json)
    checked_name(name, as_json)
    if dry_run:
        changed = edited(root, settings, targets, as_json)
        raise typer.Exit(rehearse(root, changed and changed[0], as_json))
    write_edited(root, settings, targets, as_json)
    own = own_settings(root, as_json)
    from flows import reward_trial
    from flows.graph import dvc_api, params, plan
    from flows.graph.params_file import ParamsError
    from flows.plan_table import print_done
    from flows.public.bring import PublicDataError
    from flows.running.live import Silent, Terminal
    from flows.running.prefect_server import ServerFailed
    from flows.running.run import run as start
    from flows.workspace import Busy

    try:
        if reward_trial.mentioned(root):
            tried_rewards(root, params.load(root), as_json)
        if as_json:
            result = start(root, targets or [], force, jobs, Silent(), name)
        else:
            with Terminal(out, verbose) as display:
                result = start(root, targets or [], force, jobs, display, name)
    except (ParamsError, plan.UnknownStage) as error:
        fail(str(error), 2, as_json)
    except PublicDataError as error:
        fail(str(error), 1, as_json)
    except (Busy, ServerFailed, SyntaxError, OSError) as error:
        fail(error_message(error), 1, as_json)
    except dvc_api.dvc_error() as error:
        fail(f"DVC: {error}", 1, as_json)
    if as_json:
        print(result.as_json(own))
    else:
        print_done(out, root, result)
    raise typer.Exit(result.code)


def status(as_json: AsJson = False) -> None:
    """Show how many stages are fresh, what runs at this moment, and how the last run ended.

    Example: [bold]whetstone status --json[/]
    """
    root = project(as_json)
    from flows.plan_table import print_status, status_of

    own = own_settings(root, as_json)
    summary = {**status_of(root, make_plan(root, None, False, as_json)), **own}
    if as_json:
        print(json.dumps(summary, indent=1))
    else:
        print_status(out, summary)


def doctor(as_json: AsJson = False) -> None:
    """Check whether everything that Whetstone needs works here, and show how to mend what does not.

    Example: [bold]whetstone doctor[/]
    """
    from flows.doctor import examine, print_findings

    findings = examine(project(as_json))
    if as_json:
        print(json.dumps([finding.as_json() for finding in findings], indent=1))
    else:
        print_findings(out, findings)
    raise typer.Exit(0 if all(finding.ok or not finding.needed for finding in findings) else 1)
