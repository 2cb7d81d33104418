"""The audit against every tamper of the catalogue (tests/flows/tampers.py), on a finished project: `python -m
benchmarks.tampers PROJECT`.

Works in a copy. Prints what was not refused, or refused without naming what was changed; exit code 1 if
anything was.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from flows.provenance.audit import audited
from flows.provenance.lineage import Ancestry
from tests.flows import tampers
from tests.flows.workbench import Workbench


def verdict(bench: Workbench, subject: str, registry: bool) -> tuple[str, bool]:
    """(what the audit says, whether it accepts)."""
    with nullcontext() if registry else bench.without_registry():
        ancestry = Ancestry(bench.root, str(bench.root / subject))
        problems = audited(ancestry)
    unverified = "".join(f"\n{row['stage']} is not verified" for row in ancestry.findings.unverified)
    return tampers.said(problems) + unverified, not problems and not ancestry.findings.unverified


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument(
        "--subject",
        default="reports",
        help="what is audited; default the report, which is made of everything",
    )
    parser.add_argument("--every", type=int, default=1, help="only each N-th tamper")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="whetstone-tampers-") as folder:
        root = Path(folder) / "project"
        shutil.copytree(asked.project, root, symlinks=True, ignore=shutil.ignore_patterns(".venv", "work"))
        bench = Workbench(root)
        print("untouched:", *(verdict(bench, asked.subject, True)))
        catalogue, wrong, started = tampers.catalogue(bench)[:: asked.every], 0, time.monotonic()
        for tamper in catalogue:
            tamper.apply(bench)
            text, accepted = verdict(bench, asked.subject, tamper.registry)
            if accepted or tamper.named not in text:
                wrong += 1
                print(f"{tamper.name}: {'ACCEPTED' if accepted else f'not named in: {text[:300]}'}")
            bench.undo()
        print(
            f"{len(catalogue) - wrong} of {len(catalogue)} refused and named, "
            f"{time.monotonic() - started:.0f} s"
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
