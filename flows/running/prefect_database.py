"""Completes Prefect's own database below the project before its server opens it: `python -m
flows.running.prefect_database FILE -- SERVER…`.

The migrations run in a process of their own on a copy under another name (tasks.database_file); then this
process becomes the server.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

from tasks.database_file import PREFECT, ensure_current
from tasks.launch import die_with_parent

MIGRATE = """import asyncio
from prefect.server.database import provide_database_interface
asyncio.run(provide_database_interface().create_db())"""
URL = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
# where somebody names another database, it is theirs to make
USERS = (URL, "PREFECT_API_DATABASE_CONNECTION_URL")


def migrate(path: Path) -> None:
    """Bring the file to the newest revision. Raises RuntimeError with Prefect's message."""
    env = {**os.environ, URL: f"sqlite+aiosqlite:///{path}"}
    command = [sys.executable, "-c", MIGRATE]
    process = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, preexec_fn=die_with_parent
    )
    if process.returncode:
        raise RuntimeError((process.stderr.strip() or f"exit code {process.returncode}").splitlines()[-1])


def main() -> None:
    path, command = Path(sys.argv[1]), sys.argv[3:]
    try:
        message = ensure_current(path, PREFECT, migrate)
    except (OSError, sqlite3.Error, RuntimeError) as error:
        sys.exit(f"Prefect's database {path} cannot be made: {error}")
    if message:
        print(message, file=sys.stderr, flush=True)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
