"""`whetstone serve`: a Prefect deployment of the flow, and the process that executes its runs.

The flow is registered by the location of its code, not by value: pickling it would include its module's
globals.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from rich.console import Console

from flows.running.prefect_server import unanswered
from flows.running.prefect_settings import ServerFailed, environment


def serve_deployment(
    root: Path, name: str, cron: str | None, interval: int | None, targets: list[str], console: Console
) -> int:
    """Serve until SIGTERM or Ctrl-C. Returns the exit code, 2 without a server to register with."""
    try:
        environment(root)
    except ServerFailed as error:
        console.print(str(error), style="red", markup=False)
        return 2
    url = os.environ.get("PREFECT_API_URL", "")
    fault = unanswered(url, 5) if url else ""
    if not url or fault:
        message = f"nothing answers at {url} ({fault})" if url else "PREFECT_API_URL is not set"
        console.print(
            f"{message}; start a server with `whetstone ui` or `prefect server start` and set "
            f"PREFECT_API_URL to its …/api address",
            style="red",
        )
        return 2
    if cron and interval:
        console.print("--cron and --interval exclude each other", style="red")
        return 2
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    from prefect import flow

    deployed = flow.from_source(source=str(root), entrypoint="flows/running/pipeline.py:pipeline")
    console.print(f"serving {name} for {root}; Ctrl-C stops it")
    deployed.serve(  # type: ignore[union-attr]
        name=name,
        cron=cron,
        interval=datetime.timedelta(seconds=interval) if interval else None,
        parameters={"targets": targets, "root": str(root)},
        limit=1,  # one run holds the workspace
        pause_on_shutdown=True,
        description="Bring the Whetstone graph up to date, running only what is stale",
    )
    return 0
