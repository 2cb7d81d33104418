"""A sweep over settings of one run: a run of its own for every combination of values, laid over the run, with
a copy of each evaluation of its model.

They stand in params.yaml like any other run, so what they start and learn from is shared and made once, and
`dvc repro`, `whetstone run`, lineage and compare know nothing of sweeps.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.graph.families import Family, at, families
from flows.graph.params_file import PARAMS, ParamsError, set_value
from tasks.checks import nearest


@dataclass(frozen=True)
class Axis:
    """One setting of the run and the values that it takes, as text; `key` below the run."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Sweep:
    """A run (`family`, `run`), the settings that vary, in order; a seed is the last one."""

    family: Family
    run: str
    axes: tuple[Axis, ...]


def read(settings: Sequence[str], raw: Any, root: Path | None = None) -> Sweep:
    """settings: `rl.grpo.optimiser.learning_rate=1e-4,3e-4` (also `rl.runs.grpo.…`), each of the same run.
    Raises ParamsError for anything else.
    """
    runs, axes = [], []
    for setting in settings:
        key, equals, values = setting.partition("=")
        if not equals or not values:
            raise ParamsError([f"-S {setting}: KEY=VALUE,VALUE… is expected, such as rl.grpo.seed=1,2"])
        family, run, below = _run_of(key, raw, root)
        runs.append((family, run))
        axes.append(Axis(below, tuple(split(values))))
    if not axes:
        raise ParamsError(
            ["a sweep needs a setting with its values: -S rl.grpo.optimiser.learning_rate=1e-4,3e-4"]
        )
    if len({(family.over, run) for family, run in runs}) > 1:
        raise ParamsError(
            ["a sweep is over one run: " + ", ".join(f"{family.name}.{run}" for family, run in runs)]
        )
    keys = [axis.key for axis in axes]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise ParamsError([f"{twice} is swept twice: give its values in one -S, between commas"])
    # seeds last: the runs of a combination are then one name with several seeds
    return Sweep(*runs[0], tuple(sorted(axes, key=lambda axis: axis.key == "seed")))


def split(values: str) -> list[str]:
    """Returns the values between commas that stand in no bracket or quote."""
    parts = re.findall(r"(?:\[[^\]]*\]|\{[^}]*\}|\"[^\"]*\"|'[^']*'|[^,])+", values)
    return [part.strip() for part in parts]


def add(document: Any, sweep: Sweep, root: Path | None = None) -> list[str]:
    """Add the runs and their evaluations to a document of `params_file.document_of`. Returns the stages to
    bring up to date, evaluations where there are such. Runs of these names that are there already stay as
    they are; ParamsError where one has other values of what the sweep is over.
    """
    runs, targets = at(document, sweep.family.over), []
    for combination in itertools.product(*(axis.values for axis in sweep.axes)):
        pairs = list(zip((axis.key for axis in sweep.axes), combination, strict=True))
        name = member(sweep.run, pairs)
        kept = runs.get(name)
        runs[name] = copy.deepcopy(runs[sweep.run])
        for key, value in pairs:
            set_value(document, ".".join((*sweep.family.over, name, key)), value)
        if kept is not None:
            _check_same(kept, runs[name], pairs, ".".join((*sweep.family.over, name)))
            runs[name] = kept
        targets += _evaluated(document, sweep.run, name, root) or [f"{sweep.family.name}@{name}"]
    return targets


def member(run: str, pairs: Sequence[tuple[str, str]]) -> str:
    """Returns the name of a run of the sweep: `grpo_learning_rate_1e-4`; other signs than letters, digits and
    `-` become `_`. Of a seed alone it is that of a run with several seeds, `grpo_s1`.
    """
    parts = [f"s{value}" if key == "seed" else f"{key.rpartition('.')[2]}_{value}" for key, value in pairs]
    return re.sub(r"[^A-Za-z0-9_-]+", "_", "_".join([run, *parts])).rstrip("_")


def _check_same(there: Any, run: Any, pairs: Sequence[tuple[str, str]], place: str) -> None:
    """Refuse a run that has the name of a combination and not its values: names say the end of a key only."""
    for key, value in pairs:
        if at(there, key.split(".")) != at(run, key.split(".")):
            raise ParamsError([f"{PARAMS}: {place} is a run without {key}: {value}; rename it or remove it"])


def _evaluated(document: Any, run: str, name: str, root: Path | None) -> list[str]:
    """Adds a copy of every member that names the run's model (`named` in dvc.yaml: an evaluation), about the
    new one. Returns their stages.
    """
    stages = []
    for family in families(root):
        if not family.named or family.named_presets:
            continue
        members = at(document, family.over) or {}
        for own, item in list(members.items()):
            if isinstance(item, dict) and item.get(family.named) == run:
                copied = name if own == run else f"{own}_{name}"
                if copied not in members:
                    members[copied] = copy.deepcopy(item)
                    members[copied][family.named] = name
                stages.append(f"{family.name}@{copied}")
    return stages


def _run_of(key: str, raw: Any, root: Path | None) -> tuple[Family, str, str]:
    """Returns (family, run, key below it) of `rl.grpo.x` or `rl.runs.grpo.x`."""
    section, _, rest = key.partition(".")
    rest = rest.removeprefix("runs.")
    run, _, below = rest.partition(".")
    trained = list(_trained(root))
    family = next((family for family in trained if family.over == (section, "runs")), None)
    if family is None or not below:
        known = ", ".join(family.name for family in trained)
        raise ParamsError([f"-S {key}: RUN.SETTING is expected, rl.grpo.seed; runs are those of {known}"])
    members = at(raw, family.over)
    if not isinstance(members, dict) or run not in members:
        raise ParamsError([f"{PARAMS}: {'.'.join(family.over)}: no run {run}; {nearest(run, members or ())}"])
    return family, run, below


def _trained(root: Path | None) -> Iterator[Family]:
    """Yields the families whose runs write a curve and have a seed of their own."""
    for family in families(root):
        if any(out.startswith("curves/") for out in family.outs):
            yield family
