"""Stages run by their own code in a folder below .whetstone/rehearsal: nothing of the project's outputs,
cache or MLflow is touched.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from flows.graph import codelock, source_lock
from flows.graph.families import NONE, at, resolved
from flows.graph.references import Graph, StageOf
from pipelines.sources.opening import take
from tasks.stage import Spec, Stage

LEFT_OUT = ("code", "source", "report")  # they learn nothing
KEPT_ROWS = {"sft": 16, "rl": 8, "explore": 8, "calib": 8, "train": 8, "validation": 4, "heldout": 4}
LARGE, FIRST_LINES = 16 << 20, 3000  # bytes of a file of which only the first lines are read
INTERRUPTED = ("sft", "dpo", "reward_model", "rl", "verifier")  # stages that save checkpoints


class RehearsedStage(Stage):
    """A stage whose words are kept, and which is ended by SIGTERM once, after its first step."""

    def __init__(self, spec: Spec, interrupt: bool) -> None:
        super().__init__(spec)
        self.words: list[str] = []
        self._interrupt = interrupt

    def say(self, text: str) -> None:
        self.words.append(text)

    def progress(self, done: int, total: int, **figures: float) -> None:
        if self._interrupt and 0 < done < total and callable(signal.getsignal(signal.SIGTERM)):
            self._interrupt = (
                False  # the loop's own handler is there: without it the command itself would end
            )
            signal.raise_signal(signal.SIGTERM)


@dataclass
class Scratch:
    """`root` the project, `folder` the scratch, `params` the cut ones, `raw` their values."""

    root: Path
    folder: Path
    params: Any
    raw: Mapping[str, Any]
    cut_files: list[str] = field(default_factory=list)

    def stages(self) -> list[StageOf]:
        """Returns the stages that a rehearsal runs, each after those whose outputs it reads."""
        graph = Graph(self.raw, self.root)
        waiting = [stage for stage in graph.stages if stage.family.name not in LEFT_OUT]
        ordered: list[StageOf] = []
        while waiting:
            made = {out for stage in waiting for out in stage.outs}
            ready = [stage for stage in waiting if not _waits(stage, made - set(stage.outs))]
            ordered += ready or waiting  # a circle is told by the check
            waiting = [stage for stage in waiting if stage not in ready] if ready else []
        return ordered

    def prepare(self) -> None:
        """Empties the folder and writes the manifests of the sources from outside."""
        for reference in dict.fromkeys(source_lock.all_references(self.params)):
            source = reference.source(self.root)
            if source.path is not None:
                source = source.model_copy(update={"path": str(self.root / Path(source.path).expanduser())})
            take(source, reference.kind, True).write(self.folder / reference.manifest)

    def run(self, stage: StageOf) -> list[str]:
        """Runs a stage, interrupted once and resumed where it trains; returns its words. Raises what the
        stage raises.
        """
        words: list[str] = []
        spec = self._spec(stage)
        for interrupt in (True, False) if stage.family.name in INTERRUPTED else (False,):
            rehearsed = RehearsedStage(spec, interrupt)
            with contextlib.chdir(self.folder), contextlib.redirect_stderr(io.StringIO()):
                Path(spec.work).mkdir(parents=True, exist_ok=True)
                try:
                    import_module(f"tasks.{stage.family.name}").run(rehearsed)
                except SystemExit:
                    if not interrupt:
                        raise
                else:
                    words += rehearsed.words
                    break
            words += rehearsed.words
        self._publish(spec)
        return words

    def _spec(self, stage: StageOf) -> Spec:
        item = at(self.raw, (*stage.family.over, stage.member))
        sections = [
            ".".join(resolved(template.replace("${key}", stage.member), item))
            for template in stage.family.sections
        ]
        sections = [section for section in sections if section and section != "code"]
        paths = {read.path for read in stage.inputs}
        manifests = {reference.manifest for reference in source_lock.all_references(self.params)}
        work = Path("work") / stage.name.replace("@", "-")
        return Spec(
            stage=stage.name,
            key="rehearsal",
            work=str(work),
            outs=stage.outs,
            inputs=dict.fromkeys([*paths, *manifests], ""),
            params=codelock.resolved(self.params, sections),
            execution=self.params.execution.of_stages(),
            places={path: str(self._place(path)) for path in paths if not self._is_made(path)},
        )

    def _is_made(self, path: str) -> bool:
        return (self.folder / path).exists() or f"/{NONE}/" in path

    def _place(self, path: str) -> Path:
        """Returns where an input of the user's lies: its own place, or a copy of the first lines where it is
        large.
        """
        source = (self.root / path).resolve()
        files = [source] if source.is_file() else [item for item in source.rglob("*") if item.is_file()]
        large = [file for file in files if file.stat().st_size > LARGE and _has_lines(file)]
        if not large:
            return source
        target = self.folder / "first" / source.name
        if not target.exists():
            for file in files:
                copy = target / file.relative_to(source) if source.is_dir() else target
                copy.parent.mkdir(parents=True, exist_ok=True)
                _first_lines(file, copy) if file in large else copy.symlink_to(file)
            self.cut_files += [str(file) for file in large]
        return target

    def _publish(self, spec: Spec) -> None:
        """Moves what a stage wrote to its own names, with a few rows of each set; all of them stay beside."""
        for out in spec.outs:
            staged, place = self.folder / spec.work / "outs" / out, self.folder / out
            if not staged.exists():
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.parent.parent.name == "data" and place.name in ("records", "pairs"):
                shutil.copytree(staged, self.folder / "whole" / out)
                for file in staged.glob("*.jsonl"):
                    _keep_rows(file)
            shutil.move(staged, place)


def _waits(stage: StageOf, made: set[str]) -> bool:
    return any(read.path == out or read.path.startswith(f"{out}/") for read in stage.inputs for out in made)


def _keep_rows(file: Path) -> None:
    lines = file.read_text("utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[: KEPT_ROWS.get(file.stem, len(lines))]), "utf-8")


def _has_lines(file: Path) -> bool:
    return file.suffix in (".jsonl", ".csv")


def _first_lines(file: Path, copy: Path) -> None:
    with open(file, "rb") as stream, open(copy, "wb") as target:
        target.writelines(islice(stream, FIRST_LINES))


@contextlib.contextmanager
def folder_of(root: Path) -> Iterator[Path]:
    """Yields an empty folder below .whetstone/rehearsal, and removes it."""
    folder = root / ".whetstone" / "rehearsal"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
