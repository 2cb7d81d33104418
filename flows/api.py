"""What the command line does, as functions; `whetstone` offers them. Each finds the project as the command
line does, from `root` or the current folder upwards, and imports what it needs when it is called.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.graph.plan import Plan
    from flows.provenance.comparison import SidesCompared
    from flows.running.live import Display
    from flows.running.run import Ran
    from pipelines.inference.checkpoint import Checkpoint
    from pipelines.rewards.verdict import Verdict

NOTHING: Mapping[str, Any] = MappingProxyType({})


def plan(
    targets: Iterable[str] = (),
    settings: Mapping[str, Any] = NOTHING,
    force: bool = False,
    root: str | Path | None = None,
) -> Plan:
    """Returns what would run, and why, as if params.yaml held `settings` (dotted key -> value). Changes
    nothing.

    `Plan.rows`: stages in order, each with `stage`, `action` (keep, run, run?, …) and `reasons`;
    `Plan.todo`: those that are not kept. Raises ParamsError, UnknownStage. The current folder is the
    project's meanwhile.
    """
    from flows.edits import edited
    from flows.graph.plan import make

    folder, wanted = _project(root), [targets] if isinstance(targets, str) else list(targets)
    with chdir(folder):
        changed = edited(folder, _written(settings), wanted)
        return make(folder, wanted, force, text=changed[0] if changed else None)


def run(
    targets: Iterable[str] = (),
    settings: Mapping[str, Any] = NOTHING,
    force: bool = False,
    jobs: int = 0,
    root: str | Path | None = None,
    display: Display | None = None,
    name: str = "",
) -> Ran:
    """Write `settings` into params.yaml and bring the targets, or everything, up to date. Returns what ran.

    `Ran.code`: 0 done or fresh, 1 something failed, which `Ran.outcome.why` names. `jobs`: stages at once, 0:
    `execution.jobs`; `display`: who is told of progress; `name`: the run's, RECIPE-DATE-TIME when empty.
    Raises ParamsError, UnknownStage, BadName, Busy. To be called in the main thread, for it takes the
    signals that end a run.
    """
    from flows.edits import edited, write
    from flows.running.live import Silent
    from flows.running.run import run as start

    folder, wanted = _project(root), [targets] if isinstance(targets, str) else list(targets)
    with chdir(folder):
        if changed := edited(folder, _written(settings), wanted):
            write(folder, changed[0], wanted)
        return start(folder, wanted, force, jobs, display or Silent(), name)


def lineage(subject: str, root: str | Path | None = None) -> dict[str, Any]:
    """Returns where a checkpoint came from, down to the raw files: `nodes` (stages in order, with inputs,
    settings, code, metrics and status), `edges`, `raw` and `problems`, as `whetstone lineage --json` prints
    it.

    `subject`: models/NAME, another checkpoint folder, or a registered model. Raises UnknownSubject,
    BrokenRecord.
    """
    from flows.provenance.lineage import lineage as trace

    return trace(_project(root), subject)


def compare(*sides: str, root: str | Path | None = None) -> SidesCompared:
    """Returns results side by side, all against the first: `differences` of accuracy, paired on the same
    questions with 95 % intervals, and `made`, what was made differently.

    A side is an evaluation or model by its name, NAME of NAME_s0, NAME_s1, … for all its seeds, or REV:NAME
    for that of a commit. Raises UnknownSubject, BrokenRecord; FileNotFoundError for results that are gone;
    ValueError for fewer than two sides, or one of them twice.
    """
    from flows.provenance.compared import Results
    from flows.provenance.comparison import compare as set_against

    if len(sides) < 2:
        raise ValueError("two results or more are compared: `whetstone compare sft grpo`")
    if twice := next((side for side in sides if sides.count(side) > 1), None):
        raise ValueError(f"{twice} is named twice; each result is set against the first once")
    results = Results(_project(root))
    return set_against([results.side(text) for text in sides])


def load(model: str | Path, root: str | Path | None = None) -> Checkpoint:
    """Returns a checkpoint ready to be asked, by a run's name, a folder, a .gguf file or a registered name.

    `Checkpoint.generate(prompts, sampling, seed, samples)` gives replies, `stream` one reply piece by
    piece; `model` is the torch module and `tokens` the tokenizer with its template. Outside of a project
    folders and files will do. Raises UnknownModel; ValueError or OSError where it cannot be loaded.
    """
    from flows.local_model import open_checkpoint

    return open_checkpoint(str(model), _project(root, needed=False))


def judge(
    rule: str,
    rows: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any] = NOTHING,
    root: str | Path | None = None,
) -> list[Verdict]:
    """Returns what a reward (`math_answer`, …) or a judge's model says of each row {"response",
    "reference"}, with "question" for judges that read it: `outcome` (right, wrong, error), `score`,
    `reason`. A row that is none is an error that says why. Raises ValueError where rule or options are not
    known.
    """
    from flows.judge_command import judged, open_judge

    chosen, tokens = open_judge(rule, options, _project(root, needed=False))
    lines = (json.dumps(row).encode() for row in rows)
    return [verdict for _, verdict, _ in judged(chosen, lines, tokens)]


def _project(root: str | Path | None, needed: bool = True) -> Any:
    """Returns the project's folder. Raises NotAProject, or returns None where none is `needed`."""
    from flows.workspace import NotAProject, find_root

    try:
        return find_root(None if root is None else Path(root))
    except NotAProject:
        if needed or root is not None:
            raise
        return None


def _written(settings: Mapping[str, Any]) -> list[str]:
    """Returns the settings as -S takes them; JSON is YAML."""
    return [f"{key}={json.dumps(value)}" for key, value in settings.items()]
