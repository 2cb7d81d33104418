"""Options of preferences between programs: samples in a file that are judged here, or a set's own correct and
incorrect solutions.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from pipelines.corpora.preferences.pairing_params import CodeRule
from pipelines.corpora.raw.location_params import Location
from pipelines.settings import Choice, Seam, Settings

JUDGE_PROGRAMS = Seam("pipelines.rewards", "judge_programs(params, answers, responses, max_error_share)")


class SampleColumns(Settings):
    """The columns of the samples' rows."""

    id: str = Field("task_id", description="the problem's id")
    samples: str = Field(
        "samples",
        description=("one program or completion of the prompt's own code, or a list of them"),
    )
    prompt: str | None = Field(
        "prompt", description="what the samples answer; null: the problem's own prompt"
    )
    passed: str | None = Field(
        None,
        description="true or false, or a list of them, as published with the samples; null: no such labels",
    )


class CodeSamplesParams(Location, Choice):
    """Programs that solve code problems. The problems are in a dataset or below origin, the samples in a file
    below origin.
    """

    kind: Literal["code_samples"] = "code_samples"
    layout: Annotated[str, Seam("pipelines.corpora.code", "convert(row, source)")] = Field(
        description="the form of the problems: mbpp, human_eval, apps, …"
    )
    problems: str = Field(
        min_length=1, description="split of the dataset, or file relative to origin, that holds the problems"
    )
    exclude: tuple[str, ...] = Field(
        (), description="ids of problems that are left out: those whose own solution fails"
    )
    file: str | None = Field(
        None,
        description=(
            "rows of samples, relative to origin; null: the problems' own correct and incorrect solutions, "
            "not judged again"
        ),
    )
    columns: SampleColumns = SampleColumns()
    samples: int = Field(0, ge=0, description="of each problem, the first ones; 0: all")
    answers: Literal["completion", "program"] = Field(
        "completion",
        description=(
            "what the samples are, so that a solution of the data set that wins is given in the same form"
        ),
    )
    reward: Annotated[Choice, JUDGE_PROGRAMS] = Field(
        default_factory=partial(JUDGE_PROGRAMS.choose, "code_tests"),
        description="what runs the samples, with its options",
    )
    max_error_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="the stage stops when more verdicts are errors; such samples are left out",
    )
    pairing: CodeRule = CodeRule()
