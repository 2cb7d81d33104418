"""The gate between a verifier's report and the policies that learn from it: what was examined, and whether it may be used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.rewards.verifier_params import VerifierParams

FILE = "gate.json"
DECIDES = ("prefilter", "max_leak", "threshold", "temperature", "votes")
"""What changes which responses a verifier accepts; the form of the reward and the cache do not."""


class GateClosed(RuntimeError):
    """The verifier may not reward a policy."""


def examined(reading: VerifierParams) -> dict[str, Any]:
    """How a verifier is read, as far as it decides over acceptance."""
    return {name: getattr(reading, name) for name in DECIDES}


def write_gate(folder: Path, reasons: Sequence[str], reading: VerifierParams) -> None:
    """`reasons` why it failed; none: it passed."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"passed": not reasons, "reasons": list(reasons), "examined": examined(reading)}
    (folder / FILE).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


def objections(folder: Path, reading: VerifierParams) -> list[str]:
    """Why a policy may not learn from the verifier when it is read so: the limits it failed, and how it was not examined."""
    facts = json.loads((folder / FILE).read_text("utf-8"))
    differences = [
        f"it was examined with {name} {facts['examined'][name]}, here {name} is {value}"
        for name, value in examined(reading).items()
        if facts["examined"][name] != value
    ]
    return [*facts["reasons"], *differences]


def check_gate(folder: Path, reading: VerifierParams, run: str) -> None:
    """Raises GateClosed with every objection and the way out."""
    if reasons := objections(folder, reading):
        raise GateClosed(
            f"{run} may not learn from the verifier {reading.model}: {'; '.join(reasons)}. Train it better (more judgements, "
            f"verifier.negatives), use a rule as the reward, or, for a study of what goes wrong then, set rlvr.runs.{run}.ignore_gate: true"
        )
