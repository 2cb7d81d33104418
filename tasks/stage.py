"""What one stage's code is given: typed parameters, input paths, staged outputs, a resumable work directory,
a curve and a progress line.

The values come from a *specification* that was pinned before the process started, never from params.yaml, so
that an edit made while the stage runs cannot affect its result.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from pipelines.settings import Settings, laid_over
from tasks import reads
from tasks.execution_params import ExecutionParams

Section = TypeVar("Section", bound=Settings)

PROGRESS = "::progress "  # a line of standard output that the runner shows as progress instead of log
TOKENS = "tokens"  # the cache of token ids (pipelines/corpora/records/token_cache.py)
CURVE = "curve.jsonl"  # in a work directory: the metrics by step so far
SHOWN_SAMPLES = "samples.json"  # there too: some responses of the last iteration, {"step", "rows"}
NOTICE = "notice: "  # the console of a run shows such a line of a stage's log


@dataclass(frozen=True)
class Spec:
    """The pinned facts of one stage run; everything but `run` and `git` is part of the stage's identity.

    `params` maps dotted sections of params.yaml to values; `inputs` maps paths to DVC's content digests;
    `code` maps each module that the stage reaches to its digest; `environment` maps keyed packages to
    major.minor. `divisible`: it may run in several processes.
    """

    stage: str
    key: str
    work: str
    outs: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    execution: Mapping[str, Any] = field(default_factory=dict)
    git: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    # inputs that are read elsewhere than under their own names
    places: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    divisible: bool = False

    @classmethod
    def read(cls, path: str | Path) -> Spec:
        """Returns the specification in a file. Raises ValueError where it is damaged."""
        try:
            value = json.loads(Path(path).read_bytes())
            spec = cls(**{**value, "outs": tuple(value["outs"])})
            valid = all(
                isinstance(
                    getattr(spec, item.name), Mapping if "Mapping" in str(item.type) else (str, tuple, bool)
                )
                for item in fields(spec)
            )
        except (ValueError, TypeError, KeyError):
            valid = False
        if not valid:
            raise ValueError(
                f"{path} is damaged: it does not say how a stage was started. Run the stage again"
            )
        return spec

    def write(self, path: str | Path) -> None:
        Path(path).write_text(json.dumps(self.__dict__, indent=1, sort_keys=True, default=list), "utf-8")


class Stage:
    """The argument of `tasks.<stage>.run(stage)`. Of several processes of one stage only the `first` logs,
    and only it may write outputs.
    """

    def __init__(self, spec: Spec, interactive: bool = False, first: bool = True):
        self.spec = spec
        self.first = first
        self.work = Path(spec.work)
        self.execution = ExecutionParams.model_validate(spec.execution)
        self._interactive = interactive
        self._shown = time.monotonic()
        self._pace: tuple[float, int] | None = None
        self._samples_shown = -math.inf

    @property
    def name(self) -> str:
        """The whole name, `rl@grpo`."""
        return self.spec.stage

    @property
    def kind(self) -> str:
        """The part of the name before the @, which is also the stage's module in `tasks`."""
        return self.spec.stage.partition("@")[0]

    @property
    def item(self) -> str:
        """The part of the name after the @: `grpo` of `rl@grpo`; empty for a stage without members."""
        return self.spec.stage.partition("@")[2]

    @property
    def seed(self) -> int:
        """The seed of the run, identity.seed where it has none of its own."""
        own = self.spec.params.get(f"{self.kind}.runs.{self.item}")
        if isinstance(own, Mapping) and "seed" in own:
            return int(own["seed"])
        return int(self.value("identity.seed"))

    def value(self, key: str) -> Any:
        """Returns one value of params.yaml by its dotted key. Raises KeyError when dvc.yaml does not declare
        it for this stage.
        """
        for section, value in self.spec.params.items():
            if key == section:
                return value
            if key.startswith(section + "."):
                for part in key[len(section) + 1 :].split("."):
                    value = value[part]
                return value
        raise KeyError(f"{self.name} reads the parameter {key}, which its entry in dvc.yaml does not declare")

    def section(self, key: str, record: type[Section]) -> Section:
        """Returns a section of params.yaml as its typed record."""
        return record.model_validate(self.value(key))

    def settings(self, record: type[Section]) -> Section:
        """Returns the settings of a run. The runner's specification has them resolved; in one that still
        lists a preset or `common` as well, they are laid over those, in dvc.yaml's order.
        """
        run_section = f"{self.kind}.runs.{self.item}"
        shared = [key for key in self.spec.params if key.startswith(f"{self.kind}.") and key != run_section]
        value: dict[str, Any] = {}
        for section in (*shared, run_section):
            value = laid_over(value, self.value(section))
        return record.model_validate(value)

    def input(self, path: str) -> Path:
        """Returns the path of a declared input. Raises KeyError for any other path, which would make the
        result wrong silently.
        """
        if not any(path == known or path.startswith(known + "/") for known in self.spec.inputs):
            raise KeyError(
                f"{self.name} reads {path}, which its entry in dvc.yaml does not declare as a dependency"
            )
        replaced = next(
            (known for known in self.spec.places if path == known or path.startswith(known + "/")), None
        )
        return (
            Path(path) if replaced is None else Path(self.spec.places[replaced] + path.removeprefix(replaced))
        )

    def note(self, path: str | Path) -> Path:
        """Returns the path of a file of the runner's below .whetstone, for people to look at. What is made of
        it is not part of a reproducible result.
        """
        if Path(path).parts[:1] != (".whetstone",):
            raise KeyError(f"{self.name} reads {path} as a note of the runner's, which lie in .whetstone")
        reads.allow(path)
        return Path(path)

    def cache(self, name: str) -> Path:
        """Returns a folder of .whetstone for what can be derived from inputs and code at any time (`whetstone
        gc` removes it). Entries must be named by everything that they depend on; they are never part of the
        identity.
        """
        path = Path(".whetstone") / name
        reads.allow(path)
        return path

    def out(self, path: str) -> Path:
        """Returns the path to write the declared output `path` (file or folder) to; it appears under its own
        name when the stage has ended well.
        """
        if path not in self.spec.outs:
            raise KeyError(
                f"{self.name} writes {path}, which its entry in dvc.yaml does not declare as an output"
            )
        staged = self.work / "outs" / path
        staged.parent.mkdir(parents=True, exist_ok=True)
        return staged

    # -- what people and MLflow see --------------------------------------------------------------------------

    @property
    def curve_path(self) -> Path:
        """The metrics by step, one JSON object per line. It is deterministic, so it may be an output."""
        return self.work / CURVE

    def log(self, step: int, **metrics: float) -> None:
        """Append one row of metrics by step. Only reproducible values belong here; speeds go to
        `progress`.
        """
        if not self.first:
            return
        with open(self.curve_path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": step, **metrics}) + "\n")

    def truncate_curve(self, step: int) -> None:
        """Remove the rows of `step` and later, which a resumed run writes again."""
        if self.first and self.curve_path.exists():
            rows = [line for line in self.curve_path.read_text("utf-8").splitlines() if line.endswith("}")]
            remaining = [line for line in rows if json.loads(line)["step"] < step]
            temporary = self.curve_path.with_suffix(".tmp")
            temporary.write_text("".join(line + "\n" for line in remaining), "utf-8")
            os.replace(temporary, self.curve_path)

    def show_samples(self, step: int, rows: Callable[[], Sequence[Mapping[str, Any]]]) -> None:
        """Write some responses of a step for people to look at while the stage runs: rows {"prompt", "text",
        "verdict", …}, which are asked for at most once a log period.
        """
        now = time.monotonic()
        if not self.first or now - self._samples_shown < self.execution.log_period_s:
            return
        self._samples_shown = now
        temporary = self.work / f"{SHOWN_SAMPLES}.tmp"
        with contextlib.suppress(OSError):  # a full disk stops what needs it
            temporary.write_text(json.dumps({"step": step, "rows": list(rows())}), "utf-8")
            os.replace(temporary, self.work / SHOWN_SAMPLES)

    def progress(self, done: int, total: int, **figures: float) -> None:
        """Report the progress: steps done, and figures such as loss, reward, tokens_per_s. At most one line
        per log period is printed.
        """
        now = time.monotonic()
        since, begun = self._pace = self._pace or (now, done)
        if not self.first or (done < total and now - self._shown < self.execution.log_period_s):
            return
        self._shown = now
        # by the pace since the first word: what came before it, imports, a first step that compiles, steps of
        # a resumed run, says nothing
        left = (now - since) / (done - begun) * (total - done) if done > begun else None
        if self._interactive:
            shown = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
            print(
                f"{self.name}  {done}/{total}  {shown}" + (f"  {left:.0f} s left" if left else ""), flush=True
            )
        else:
            row = {
                "done": done,
                "total": total,
                "left_s": left and round(left, 1),
                **{k: float(f"{v:.6g}") for k, v in figures.items()},
            }
            print(PROGRESS + json.dumps(row), flush=True)

    def say(self, text: str) -> None:
        """Write a line to the log."""
        if self.first:
            print(text, file=sys.stdout, flush=True)

    def notice(self, text: str) -> None:
        """Write a line to the log that the console of the run shows too."""
        self.say(NOTICE + text)
