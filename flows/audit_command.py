"""`whetstone audit`: verify a subject, replay it on request, and print the result for people or programs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from flows.provenance.audit import audited
from flows.provenance.history import BrokenRecord
from flows.provenance.lineage import Ancestry
from flows.provenance.replay import ReplayError, replay
from flows.provenance.subject import UnknownSubject


def audit_subject(
    root: Path, subject: str, replaying: bool, scratch: Path | None, console: Console | None
) -> tuple[int, dict[str, Any]]:
    """Returns (exit code, {"ok", "subject", "problems", "unverified", "replay"}).

    0: everything verifies; 1: something does not; 2: there is no such subject; 3: nothing contradicts, but
    some runs are recorded in dvc.lock alone.
    """

    def say(text: str, style: str = "") -> None:
        if console:
            console.print(text, style=style, markup=False)

    try:
        ancestry = Ancestry(root, subject)
        problems = audited(ancestry)
    except UnknownSubject as error:
        say(str(error), "red")
        return 2, {"ok": False, "subject": subject, "error": str(error)}
    except BrokenRecord as error:
        say(str(error), "red")
        return 1, {"ok": False, "subject": subject, "error": str(error)}
    report: dict[str, Any] = {
        "ok": not problems and not ancestry.findings.unverified,
        "subject": subject,
        "problems": [problem.as_json() for problem in problems],
        "unverified": ancestry.findings.unverified,
        "replay": None,
    }
    for problem in problems:
        say(f"✗ {problem.path}: {problem.problem}", "red")
    for row in ancestry.findings.unverified:
        say(
            f"? {row['stage']}: {row['recorded_in']} alone says how it was made; `dvc fetch --run-cache` may "
            f"bring the second record",
            "yellow",
        )
    if report["ok"]:
        say(f"✓ {subject}: every byte of it and of its recorded ancestry verifies", "green")
    elif not problems:
        say(
            f"? {subject}: every byte verifies; how {len(ancestry.findings.unverified)} runs were made does "
            f"not, since there is no second record of them",
            "yellow",
        )
    if replaying and ancestry.entry is not None:
        with tempfile.TemporaryDirectory(prefix="whetstone-replay-") as temporary:
            try:
                changes = replay(root, ancestry.entry.stage, scratch or temporary, ancestry.entry, say=say)
            except ReplayError as error:
                say(f"✗ replay: {error}", "red")
                return 1, report | {"ok": False, "replay": {"error": str(error)}}
        report["replay"] = {
            "stage": ancestry.entry.stage,
            "different": [change.as_json() for change in changes],
        }
        report["ok"] = report["ok"] and not changes
        for change in changes:
            say(f"✗ replay: {change.path}: {change.what}", "red")
        if not changes:
            say(f"✓ replay of {ancestry.entry.stage}: bit-equal", "green")
    return _code(report), report


def _code(report: dict[str, Any]) -> int:
    if report["ok"]:
        return 0
    return 1 if report["problems"] or (report["replay"] or {}).get("different") else 3
