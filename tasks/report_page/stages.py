"""The stages whose results the report shows, as dvc.yaml declares them: `meta: {report: PART}` puts a stage's
metrics into a part of the page, its `outs` say where they are. No part knows a stage by name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.report_page.files import Row, read_object
from tasks.stage_warnings import warnings_in

MEMBER = "${key}"  # stands for a member's name in paths
METRICS = "metrics/"


@dataclass(frozen=True)
class ReportedStage:
    """A stage of dvc.yaml, or those of a `foreach`.

    `part` of the report that shows it, "" for none; `metrics` and `curve`: paths among its outputs, "" for
    none; `members`: the section of params.yaml that it runs through; `model`: the kind of model that it
    makes.
    """

    name: str
    part: str = ""
    metrics: str = ""
    curve: str = ""
    members: str = ""
    model: str = ""

    def member(self, name: str) -> str:
        """Returns the name of a member's stage, `rl@grpo`."""
        return f"{self.name}@{name}" if self.members else self.name

    def metrics_of(self, name: str, folder: Path) -> Path:
        """Returns the path of a member's metrics; `folder` is where `metrics` lies."""
        return folder / self.metrics.removeprefix(METRICS).replace(MEMBER, name)


class ReportedStages:
    """All stages with metrics, and those that make policies, in the order of dvc.yaml."""

    def __init__(self, stages: Mapping[str, Mapping[str, Any]]) -> None:
        self._stages = tuple(ReportedStage(name, **facts) for name, facts in stages.items())

    def of_part(self, part: str) -> Iterator[ReportedStage]:
        """Yields the stages that a part of the report shows."""
        return (stage for stage in self._stages if stage.part == part)

    def makers(self, name: str, model: str) -> tuple[str, ...]:
        """Returns the stages of which one has made the model `name` of this kind."""
        return tuple(stage.member(name) for stage in self._stages if stage.model == model)

    def find(self, part: str, name: str, folder: Path) -> tuple[Path, str]:
        """Returns the metrics of a member of a part, and the stage that makes them: the first whose file is
        there, else the first. Raises ValueError where no stage belongs to the part.
        """
        candidates = [(stage.metrics_of(name, folder), stage.member(name)) for stage in self.of_part(part)]
        if not candidates:
            raise ValueError(f"dvc.yaml has no stage with `meta: {{report: {part}}}`, which shows {name}")
        return next((candidate for candidate in candidates if candidate[0].is_file()), candidates[0])

    def read(
        self, part: str, folder: Path, members: Mapping[str, Collection[str]] | None = None
    ) -> dict[str, Row]:
        """Returns the metrics of a part by member, in natural order. Where `members` has a stage's section,
        only its members are read: other files are from earlier runs. Raises ValueError, naming file and
        stage.
        """
        return self._read(self.of_part(part), folder, members or {})

    def sections(self, part: str) -> set[str]:
        """Returns the sections of params.yaml whose members a part of the report shows."""
        return {stage.members for stage in self.of_part(part)}

    def warnings(self, folder: Path, members: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
        """Returns what stages warn of in their metrics, by the stage's name; of a section in `members` those
        of its members only, and of others where a part of the report shows them.
        """
        warnings: dict[str, list[str]] = {}
        for stage in self._stages:
            if stage.metrics and (stage.part or stage.members in members):
                for name, value in self._read(iter([stage]), folder, members).items():
                    if texts := warnings_in(value):
                        warnings[stage.member(name)] = texts
        return warnings

    def read_runs(self, folder: Path) -> dict[str, Row]:
        """Returns the metrics of all training runs (stages with a curve) by name, in natural order."""
        return self._read((stage for stage in self._stages if stage.curve), folder, {})

    def _read(
        self, stages: Iterator[ReportedStage], folder: Path, members: Mapping[str, Collection[str]]
    ) -> dict[str, Row]:
        files: dict[Path, list[str]] = {}
        for stage in stages:
            pattern = stage.metrics.removeprefix(METRICS).replace(MEMBER, "*")
            for path in sorted(folder.glob(pattern), key=lambda path: _natural(path.stem)):
                if path.stem in members.get(stage.members, (path.stem,)):
                    files.setdefault(path, []).append(stage.member(path.stem))
        return {path.stem: read_object(path, " or ".join(makers)) for path, makers in files.items()}


def _natural(name: str) -> tuple[Any, ...]:
    """Returns a sort key by which `dpo_iter_10` comes after `dpo_iter_2`."""
    return tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in name.replace("-", "_").split("_")
    )
