"""Judges give verdicts on batches of responses: rules, reward models and verifiers behind one interface.

A judge is given all responses of an iteration at once, so that a model can score them in packed batches. The
limit on errors (`scoring.limit_errors`) and the division among processes (`training.sharded_judge`) are up to
the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.rewards.scoring import Check, preflight, verdict_of
from pipelines.rewards.verdict import Verdict
from pipelines.seams import load
from pipelines.settings import Choice
from pipelines.sources.opening import Opener, unrecorded

if TYPE_CHECKING:  # a rule must not wait for torch
    from pipelines.models.placement import Placement
    from pipelines.models.tokenizer import Tokens


class Question(Protocol):
    """What a judge may read of a problem. `corpora.record.Record` is one."""

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
    """A response to `record`. `ids`: its tokens, including the end token; `text`: their decoding; `finished`:
    the model ended it, rather than a token limit.
    """

    record: Question
    ids: tuple[int, ...]
    text: str
    finished: bool


class Judge(Protocol):
    """Gives verdicts on responses. What cannot be judged gets an error verdict with a reason, never an
    exception or a score.
    """

    @property
    def deterministic(self) -> bool:
        """Whether equal responses get bit-equal verdicts in every training process. False for models and for
        checks with a time limit.
        """

    @property
    def model(self) -> Any | None:
        """The network held in this process; None for a rule, or a model behind a server."""

    @property
    def rule(self) -> bool:
        """Whether the verdicts are a rule's. A model's are compared with an exact checker in the metrics."""

    def judge(self, responses: Sequence[Response]) -> list[Verdict]:
        """Returns one verdict per response, in order."""

    def preflight(self, records: Sequence[Question]) -> None:
        """Raises CheckerFailed, before any training, where known cases are misjudged."""

    # A judge of programs also has `examine(responses) -> list[ProgramReport]` (`rewards.code.code_judge`),
    # which `evaluation.code_figures` reads.


class Checker(Protocol):
    """A rule: a module of `rewards/rules` with these two functions. Optional: `DETERMINISTIC = False` where a
    time limit may decide; `READS_QUESTION = True` where `check` takes the question as fourth argument;
    `check_many([(text, answer, finished), …])`, which returns the same verdicts faster.
    """

    @property
    def check(self) -> Check: ...

    @property
    def respond(self) -> Callable[[str], str]: ...


class RuleJudge:
    """A rule as a judge."""

    model, rule = None, True

    def __init__(self, checker: Checker) -> None:
        self._checker = checker
        self.deterministic = bool(getattr(checker, "DETERMINISTIC", True))

    def judge(self, responses: Sequence[Response]) -> list[Verdict]:
        """Returns one verdict per response, in order; an error verdict where the rule raises. Where
        `check_many` raises, responses are checked one by one.
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
        """Raises CheckerFailed where a gold answer is not right, or another answer not wrong."""
        preflight(
            self._checker.check,
            self._checker.respond,
            [(record.source, record.answer) for record in records],
            names=[record.id for record in records],
        )


@dataclass(frozen=True)
class JudgeContext:
    """What `make_judge(options, context)` may use besides its options. `model`: folder of the judge's model,
    where the stage has one; `tokens`: the policy's tokenizer; `budget`: tokens per forward pass.
    """

    model: Path | None
    tokens: Tokens
    placement: Placement
    budget: int
    trust_remote_code: bool = False
    open_source: Opener = unrecorded  # opens a model from outside the project

    @property
    def folder(self) -> Path:
        """The folder of the judge's model. Raises ValueError where the stage has none."""
        if self.model is None:
            raise ValueError(
                "this reward is a model, and its entry in dvc.yaml does not declare the model's folder as a "
                "dependency"
            )
        return self.model


def judge_of(reward: Choice, context: JudgeContext) -> Judge:
    """Returns the judge that a reward names: a rule, or what its module makes with its options."""
    module = load("pipelines.rewards", reward.kind)
    judge: Judge = module.make_judge(reward, context) if hasattr(module, "make_judge") else RuleJudge(module)
    return judge
