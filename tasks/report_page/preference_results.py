"""Reads the metrics of the preference branch.

Its stages are not in every graph, so a missing file is not an error; an unreadable one is. Where the
parameters name the models, files of others from earlier runs are ignored.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.report_page.files import Row, read_rows
from tasks.report_page.stages import ReportedStages

# parts of the report, which the `meta` of stages in dvc.yaml names
PAIRS, REWARD_MODELS, POLICIES, MATCHES, THEORY = "pairs", "reward_models", "policies", "matches", "theory"


@dataclass(frozen=True)
class PreferenceResults:
    """The files' contents by the name of a set, a reward model, an assessed model, a board of matches, or a
    trained run; `answers`: of an assessed model; `theory` may be None.
    """

    sets: dict[str, Row]
    reward_models: dict[str, Row]
    assessed: dict[str, Row]
    answers: dict[str, list[Row]]
    boards: dict[str, Row]
    curves: dict[str, list[Row]]
    training: dict[str, Row]
    theory: Row | None


def read(
    stages: ReportedStages,
    metrics: Path,
    curves: Path,
    samples: Path,
    skip: Collection[str],
    members: Mapping[str, Collection[str]],
) -> PreferenceResults:
    """Reads the files that exist. `skip`: runs that the rest of the page shows; `members`: section of
    params.yaml -> the names that may be shown. Raises ValueError, which names file and stage.
    """
    parts = {
        part: stages.read(part, metrics, members)
        for part in (PAIRS, REWARD_MODELS, POLICIES, MATCHES, THEORY)
    }
    training = {name: value for name, value in stages.read_runs(metrics).items() if name not in skip}
    return PreferenceResults(
        sets=parts[PAIRS],
        reward_models=parts[REWARD_MODELS],
        assessed=parts[POLICIES],
        answers={
            name: read_rows(path, f"of {name}")
            for name in parts[POLICIES]
            if (path := samples / "assess" / f"{name}.jsonl").is_file()
        },
        boards=parts[MATCHES],
        curves={
            name: read_rows(path, f"of {name}")
            for name in training
            if (path := curves / f"{name}.jsonl").is_file()
        },
        training=training,
        theory=next(iter(parts[THEORY].values()), None),
    )
