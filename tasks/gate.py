"""The gate between a judge's report and the policies that train on its rewards: how the judge was examined,
and whether it may be used.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.settings import Choice
from tasks.stage_warnings import KEY, warnings_in

FILE = "gate.json"
DECIDES = ("prefilter", "max_leak", "threshold", "temperature", "votes")
"""What changes which responses a verifier accepts; the form of the reward and the cache do not."""


class GateClosed(RuntimeError):
    """The judge must not reward a policy."""


def examined(reading: Choice) -> dict[str, Any]:
    """Returns the settings of a judge that decide which responses it accepts: for a verifier DECIDES, for a
    reward model none.
    """
    return {name: getattr(reading, name) for name in DECIDES if hasattr(reading, name)}


def write_gate(
    folder: Path, reasons: Sequence[str], reading: Choice | None = None, warnings: Sequence[str] = ()
) -> None:
    """Write the gate's file. `reasons`: why the judge failed, empty where it passed; `warnings`: what does
    not close the gate, and whoever learns from the judge is told; `reading`: the settings that it was
    examined with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "passed": not reasons,
        "reasons": list(reasons),
        KEY: list(warnings),
        "examined": examined(reading) if reading else {},
    }
    (folder / FILE).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


def objections(folder: Path, reading: Choice) -> list[str]:
    """Returns why a policy must not train on the judge with these settings: the limits that it failed, and
    settings that differ from the examined ones.
    """
    facts = json.loads((folder / FILE).read_text("utf-8"))
    differences = [
        f"it was examined with {name} {facts['examined'][name]}, here {name} is {value}"
        for name, value in examined(reading).items()
        if name in facts["examined"] and facts["examined"][name] != value
    ]
    return [*facts["reasons"], *differences]


def warnings_of(folder: Path, judge: str) -> list[str]:
    """Returns what the gate of `judge` warns of, naming the judge."""
    facts = json.loads((folder / FILE).read_text("utf-8"))
    return [f"its judge {judge}: {warning}" for warning in warnings_in(facts)]


def check_gate(folder: Path, reading: Choice, judge: str, run: str) -> None:
    """Raises GateClosed with every objection and the ways out."""
    if reasons := objections(folder, reading):
        raise GateClosed(
            f"{run} may not learn from {judge}: {'; '.join(reasons)}. Train it better (a verifier: more "
            f"judgements, verifier.negatives; a "
            f"reward model: more pairs), use a rule as the reward, or, for a study of what goes wrong, set "
            f"rl.runs.{run}.ignore_gate: true"
        )
