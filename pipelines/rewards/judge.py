"""Judges: what gives verdicts on batches of responses, be it a rule, a reward model or a verifier; the policy
loop knows no other door.

A judge sees all responses of a round at once, so that a model can score them in packed batches. How many
errors are too many (`scoring.limit_errors`) and who judges what among several processes
(`training.sharded_judge`) is its callers' business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.rewards.scoring import Check, preflight, verdict_of
from pipelines.rewards.verdict import Verdict
from pipelines.sources.opening import Opener, unrecorded

if TYPE_CHECKING:  # a rule must not wait for torch
    from pipelines.models.placement import Placement
    from pipelines.models.tokenizer import Tokens


class Question(Protocol):
    """What a judge may read of a problem; a record of a corpus is one."""

    @property
    def id(self) -> str: ...

    @property
    def prompt(self) -> str: ...

    @property
    def answer(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def prompt_ids(self) -> list[int]: ...

    @property
    def meta(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Response:
    """`ids` are the response's own tokens, the end token included; `text` is their decoding; `finished`: the
    model ended it itself.
    """

    record: Question
    ids: tuple[int, ...]
    text: str
    finished: bool


class Judge(Protocol):
    """Gives every response a verdict, in order. What it cannot judge is an error verdict with a reason, never
    an exception or a score.
    """

    @property
    def deterministic(self) -> bool:
        """Whether every process that trains gives equal responses bit-equal verdicts. Models and checks with
        a time limit do not.
        """

    @property
    def model(self) -> Any | None:
        """The network that it holds; None where it holds none: a rule, or a model behind a server."""

    @property
    def rule(self) -> bool:
        """Whether its verdicts are a rule's. Of a model's, wherever it runs, an exact checker beside it tells
        how true they are.
        """

    def judge(self, responses: Sequence[Response]) -> list[Verdict]:
        """One verdict a response; nothing for nothing."""

    def preflight(self, records: Sequence[Question]) -> None:
        """Raises CheckerFailed, before any training, where known cases are misjudged."""

    # A judge of programs also has `examine([Response, …]) -> [Program, …]`
    # (`pipelines.evaluation.code_figures`), for evaluations.


class Checker(Protocol):
    """A rule: a module of this folder that defines these two; `DETERMINISTIC = False` where a clock may
    decide; `READS_QUESTION = True` where the question is a fourth argument; and, where many together are
    cheaper, `check_many([(text, answer, finished), …]) -> [Verdict, …]` of the same verdicts.
    """

    @property
    def check(self) -> Check: ...

    @property
    def respond(self) -> Callable[[str], str]: ...


class RuleJudge:
    """A checker module as a judge."""

    model, rule = None, True

    def __init__(self, checker: Checker) -> None:
        self._checker = checker
        self.deterministic = bool(getattr(checker, "DETERMINISTIC", True))

    def judge(self, responses: Sequence[Response]) -> list[Verdict]:
        """A checker that crashes gives an error verdict; where it crashes over many, each is checked
        alone.
        """
        calls: list[tuple[Any, ...]] = [
            (response.text, response.record.answer, response.finished) for response in responses
        ]
        if getattr(self._checker, "READS_QUESTION", False):
            calls = [
                (*arguments, response.record.prompt)
                for arguments, response in zip(calls, responses, strict=True)
            ]
        if check_many := getattr(self._checker, "check_many", None):
            try:
                return list(check_many(calls))
            except Exception:  # noqa: BLE001 - one response must not decide over the others: whose fault it is shows below
                pass
        return [verdict_of(self._checker.check, *arguments) for arguments in calls]

    def preflight(self, records: Sequence[Question]) -> None:
        """Gold answers must be right, others wrong."""
        preflight(
            self._checker.check,
            self._checker.respond,
            [(record.source, record.answer) for record in records],
            names=[record.id for record in records],
        )


@dataclass(frozen=True)
class JudgeContext:
    """What a module with `make_judge(options, context) -> Judge` is given: the folder of the judge's own
    model where the stage has one, `tokens` of the policy, and how to run: `budget` is the tokens of a forward
    pass.
    """

    model: Path | None
    tokens: Tokens
    placement: Placement
    budget: int
    trust_remote_code: bool = False
    open_source: Opener = unrecorded  # of a model from outside

    @property
    def folder(self) -> Path:
        """The model's. Raises ValueError where the stage has none."""
        if self.model is None:
            raise ValueError(
                "this reward is a model, and its entry in dvc.yaml does not declare the model's folder as a "
                "dependency"
            )
        return self.model
