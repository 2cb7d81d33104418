"""The whole of params.yaml as one typed record, and the check of the whole file before anything is computed.

The sections' own records lie beside the code that they configure; this module only joins them, so stages
never import it.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from flows.graph import stage_checks
from flows.graph.contradictions import contradictions
from flows.graph.families import at, sections
from flows.graph.fill import filled
from flows.graph.params_file import PARAMS, ParamsError, read_yaml
from flows.graph.presets import with_presets
from flows.graph.problems import describe, remove
from flows.graph.sections import with_members_laid
from pipelines.corpora.corpus_params import CorpusParams
from pipelines.corpora.exams.exams_params import ExamsParams
from pipelines.evaluation.assessment_params import RewardReportParams, WinsParams
from pipelines.evaluation.theory.theory_params import TheoryParams
from pipelines.settings import Settings
from pipelines.training.policy_params import PolicyParams
from tasks.assess_params import Assess
from tasks.base_params import BaseRun
from tasks.evaluate_params import EvaluateRun
from tasks.execution_params import ExecutionParams
from tasks.judgements_params import JudgementsParams
from tasks.preferences_params import PreferenceSet
from tasks.report_params import ReportParams
from tasks.rl_params import RlRun
from tasks.run_params import DpoRun, RankingRun
from tasks.sft_params import SftRun
from tasks.verifier_params import VerifierReportParams, VerifierRun

PRESETS = ("rl.presets.", "rl.methods.")
Run = TypeVar("Run", bound=Settings)


class Identity(Settings):
    """Settings that are part of the identity of every result."""

    seed: int = Field(0, ge=0, lt=2**31, description="seed of everything random")
    environment: tuple[str, ...] = Field(
        ("torch", "transformers", "deepspeed", "numba"),
        description="packages whose major.minor version is part of a stage's identity if it imports them",
    )


class Rl(Settings):
    """`presets` are those of presets.yaml, `methods` settings by preset or presets of one's own, `runs` the
    stages rl@<run>: each is laid over what `methods` says of its `method`, that over `common`, and that over
    the preset of this name.

    A preset may contradict itself where a run would mend it: that is refused with the run; keys and values
    are checked in all of them.
    """

    common: dict[str, Any] = Field({}, description="what the runs share, laid over their presets")
    presets: dict[str, PolicyParams] = Field({}, description="presets by name, which presets.yaml holds")
    methods: dict[str, PolicyParams] = Field(
        {}, description="settings of all runs of a preset, and presets of one's own, by name"
    )
    runs: dict[str, RlRun]

    @model_validator(mode="before")
    @classmethod
    def _leave_contradictions_to_runs(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            **value,
            **{
                section: {name: item for name, item in value[section].items() if not _only_contradicts(item)}
                for section in ("presets", "methods")
                if isinstance(value.get(section), dict)
            },
        }


def _only_contradicts(preset: Any) -> bool:
    """Returns whether a preset, laid over what it shares, is invalid only in how its settings combine."""
    try:
        PolicyParams.model_validate(preset)
    except ValidationError as error:
        return all(item["type"] == "value_error" and not item["loc"] for item in error.errors())
    return False


class Runs(Settings, Generic[Run]):
    """`runs` by name. Each is one stage, and already contains what `common` holds (see
    `sections.with_members_laid`).
    """

    common: dict[str, Any] = Field({}, description="what the runs share; each is laid over it")
    runs: dict[str, Run]


class Params(Settings):
    """The whole of params.yaml."""

    identity: Identity
    corpus: dict[str, CorpusParams]
    base: Runs[BaseRun]
    sft: Runs[SftRun]
    preferences: dict[str, PreferenceSet]
    reward_model: Runs[RankingRun]
    dpo: Runs[DpoRun]
    exams: dict[str, ExamsParams]
    judgements: dict[str, JudgementsParams]
    verifier: Runs[VerifierRun]
    verifier_report: VerifierReportParams
    rl: Rl
    evaluate: Runs[EvaluateRun]
    assess: Assess
    wins: dict[str, WinsParams]
    reward_report: RewardReportParams
    dpo_theory: dict[str, TheoryParams]
    report: ReportParams
    execution: ExecutionParams
    # sections of the user's own stages, which no record here describes
    _own: dict[str, Any] = PrivateAttr({})

    @model_validator(mode="before")
    @classmethod
    def lay(cls, value: Any) -> Any:
        return with_members_laid(value)

    def section(self, dotted: str) -> Any:
        """Returns the record or value of a section as dvc.yaml names it: `rl.runs.grpo`, `corpus.exam`,
        `identity.seed`.

        What runs are laid over counts as theirs, and names no code or source by itself: presets and `common`
        are no records.
        """
        value: Any = self
        if dotted.partition(".")[0] in self._own:
            return at(self._own, dotted.split("."))
        if dotted.startswith(PRESETS):
            return {}
        for part in dotted.split("."):
            value = value[part] if isinstance(value, dict) else getattr(value, part)
        return value


def load(root: Path, name: str = PARAMS) -> Params:
    """Returns the checked parameters of the whole file. Raises ParamsError with every problem at once."""
    return check(read_yaml(root / name), name, root)


def check(raw: dict[str, Any], name: str = PARAMS, root: Path | None = None) -> Params:
    """Returns the typed parameters. Raises ParamsError, which names file, key, problem and, for an unknown
    key, the nearest known one.
    """
    problems: dict[str, str] = {}
    params = None
    raw = filled(with_presets(raw, root), root)
    own = {key: value for key, value in raw.items() if key in sections(root) - set(Params.model_fields)}
    data = copy.deepcopy({key: value for key, value in raw.items() if key not in own})
    # contradictions are only seen among values that are right by themselves: drop the wrong ones and look
    # again
    for _ in range(8):
        try:
            params = Params.model_validate(data)
            break
        except ValidationError as error:
            fresh, remaining = False, copy.deepcopy(data)
            for item in error.errors():
                path, text = describe(item, remaining, Params)
                key = ".".join(path) or "(file)"
                # a record without its wrong value may contradict itself only because the value is gone
                spurious = any(
                    known.startswith(key + ".") and not reason.startswith("unknown")
                    for known, reason in problems.items()
                )
                if key not in problems and not spurious:
                    problems[key] = text
                    fresh = True
                if item["type"] == "missing" or not remove(data, path):
                    continue
            if not fresh:
                break
    for key, text in (
        *stage_checks.unused(raw, Params, root),
        *contradictions(raw, root),
        *stage_checks.problems(raw, Params, root),
    ):
        problems.setdefault(key, text)
    if problems:
        raise ParamsError([f"{name}: {key}: {text}" for key, text in sorted(problems.items())])
    assert params is not None
    params._own = own
    return params
