"""Reward functions of the user's own, tried on five questions before anything is trained: what each says
of the reference and of a wrong answer.

The questions are those that the set's stage has written, or the first ones that its sources hold. A trial
that went well is remembered by function, options and questions, so that a plan does not wait for it again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.graph import own_code
from flows.graph.params_file import PARAMS, read_text
from flows.workspace import STATE, read_json, write_json
from pipelines.rewards.own.function_params import FunctionParams
from pipelines.rewards.own.sum_params import SumParams

if TYPE_CHECKING:
    from flows.graph.params import Params
    from pipelines.corpora.records.record import Record

CACHE = f"{STATE}/reward_trials.json"
QUESTIONS = 5
SETS = "corpus"  # the section of sets of questions
MENTIONED = re.compile(r"reward:\s*[\"']?[\w./-]+:\w|kind:\s*[\"']?function\b")
# of an exception that says where a function could not go, and nothing of the function
UNREACHED = re.compile(r"\w*(Connect|Timeout|URLError|Unreachable)\w*:|took more than")


@dataclass(frozen=True)
class Said:
    """What a function said of one text."""

    text: str
    outcome: str
    score: float
    reason: str

    @property
    def shown(self) -> str:
        return "error" if self.outcome == "error" else f"{self.score:.4g}"


@dataclass(frozen=True)
class Trial:
    """A function on questions of a set. `references`, `wrong`: by question; `fault`: why it cannot be used;
    `note`: why nothing is known of it.
    """

    runs: tuple[str, ...]
    path: str
    data: str
    references: tuple[Said, ...] = ()
    wrong: tuple[Said, ...] = ()
    fault: str = ""
    note: str = ""

    @property
    def sentence(self) -> str:
        head = f"reward {self.path} of {', '.join(self.runs)}"
        if self.fault or self.note:
            return f"{head}: {self.fault or self.note}"
        errors = [said.reason for said in (*self.references, *self.wrong) if said.outcome == "error"]
        return (
            f"{head}, tried on {len(self.references)} questions of {self.data}: reference answers "
            f"{', '.join(said.shown for said in self.references)}; wrong answers "
            f"{', '.join(said.shown for said in self.wrong)}"
            + (f"; {len(errors)} errors, the first: {errors[0]}" if errors else "")
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def trials(root: Path, params: Params) -> list[Trial]:
    """Returns a trial of each function that a run of `rl` or `evaluate` has for a reward, on its own set."""
    used: dict[tuple[str, str], tuple[FunctionParams, list[str]]] = {}
    for family in ("rl", "evaluate"):
        for name, run in getattr(params, family).runs.items():
            for options in _functions(run.reward):
                key = (options.model_dump_json(), run.data)
                used.setdefault(key, (options, []))[1].append(f"{family}@{name}")
    return [_tried(root, params, options, data, tuple(runs)) for (_, data), (options, runs) in used.items()]


def mentioned(root: Path) -> bool:
    """Returns whether params.yaml may name a function, which saves most commands a look at the whole file."""
    return MENTIONED.search(read_text(root / PARAMS)) is not None


def faults(trials: Sequence[Trial]) -> list[str]:
    """Returns why rewards cannot be used, a sentence each."""
    return [trial.sentence for trial in trials if trial.fault]


def _functions(reward: Any) -> Iterator[FunctionParams]:
    parts = reward.parts.values() if isinstance(reward, SumParams) else ()
    yield from (
        choice for choice in (reward, *(part.reward for part in parts)) if isinstance(choice, FunctionParams)
    )


def _tried(root: Path, params: Params, options: FunctionParams, data: str, runs: tuple[str, ...]) -> Trial:
    questions = _questions(root, params, data)
    trial = Trial(runs, options.path, data)
    if not questions:
        return replace(
            trial, note=f"not tried yet, for data/{data} is not there: `whetstone run corpus@{data}`"
        )
    code = own_code.reached(root, options.own_code)
    told = [
        options.model_dump_json(),
        code.files,
        own_code.versions(code.packages),
        list(map(repr, questions)),
    ]
    key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    known = read_json(root / CACHE) or {}
    if key in known:
        said = [tuple(Said(**values) for values in side) for side in known[key]]
        return replace(trial, references=said[0], wrong=said[1])
    trial = _judged(options, questions, trial)
    if not trial.fault and not trial.note:
        kept = dict(list(known.items())[-20:])
        kept[key] = [[asdict(said) for said in side] for side in (trial.references, trial.wrong)]
        write_json(root / CACHE, kept)
    return trial


def _judged(options: FunctionParams, questions: Sequence[Record], trial: Trial) -> Trial:
    from pipelines.rewards.judge import Response
    from pipelines.rewards.own.function import FunctionJudge
    from pipelines.rewards.own.process import FunctionBroken
    from pipelines.rewards.verdict import applies

    texts = [question.response or question.answer for question in questions]
    wrong = [_other(question, questions) for question in questions]
    responses = [
        Response(question, tuple(range(len(text.split()))), text, True)
        for side in (texts, wrong)
        for question, text in zip(questions, side, strict=True)
    ]
    try:
        verdicts = FunctionJudge(options).judge(responses)
    except FunctionBroken as failure:
        return replace(trial, fault=str(failure).removeprefix(f"{options.path}: "))
    failed = [verdict.reason for verdict in verdicts if verdict.outcome == "error" and applies(verdict)]
    if len(failed) == len(verdicts):
        text = f"an error for each of {len(questions)} questions of {trial.data}: {failed[0]}"
        return replace(trial, note=text) if UNREACHED.search(failed[0]) else replace(trial, fault=text)
    said = [
        Said(response.text, verdict.outcome, verdict.score, verdict.reason)
        for response, verdict in zip(responses, verdicts, strict=True)
    ]
    return replace(trial, references=tuple(said[: len(questions)]), wrong=tuple(said[len(questions) :]))


def _other(question: Record, questions: Sequence[Record]) -> str:
    """Returns the answer to another question, or one that is nobody's."""
    others = (other.response or other.answer for other in questions if other.answer != question.answer)
    return next(others, f"{question.answer}1")


def _questions(root: Path, params: Params, data: str) -> list[Record]:
    """Returns the first questions of a set, empty where none can be had without running a stage."""
    from pipelines.corpora.records.rendering import with_ids

    examples = islice(_examples(root, params, data), QUESTIONS)
    return [with_ids(example, ([], [], [])) for example in examples]


def _examples(root: Path, params: Params, data: str) -> Iterator[Any]:
    from pipelines.corpora.records.example import Example

    written = root / "data" / data / "records" / "rl.jsonl"
    if written.is_file():
        with open(written, encoding="utf-8") as stream:
            yield from (Example(**json.loads(line)) for line in islice(stream, QUESTIONS))
    elif data in getattr(params, SETS):
        yield from _raw_examples(root, params, data)


def _raw_examples(root: Path, params: Params, data: str) -> Iterator[Any]:
    """Yields the first rows of a set's own files, as its readers give them; those of generated sets and
    of data sets from outside are left to their stages.
    """
    from pipelines.corpora.build import example_of
    from pipelines.corpora.cleaning.clean import CleanRow
    from pipelines.corpora.cleaning.split import Shares
    from pipelines.corpora.raw.ledger import Ledger
    from pipelines.corpora.raw.problem import Reading
    from pipelines.seams import load

    settings = getattr(params, SETS)[data]
    shares = Shares(settings.validation_share, settings.heldout_share)
    for name, source in settings.sources.items():
        if source.generates or getattr(source, "id", None) is not None:
            continue
        reading = Reading(root / settings.raw, name, params.identity.seed, shares, Ledger(name))
        problems = load("pipelines.corpora.readers", source.reader).read(_asking(source), reading)
        try:
            for problem in islice(problems, QUESTIONS):
                yield example_of(CleanRow(name, problem))
        except (OSError, ValueError):  # told by the set's own stage
            continue


def _asking(source: Any) -> Any:
    """Returns a source without its demonstrations, where it has other rows."""
    for field in ("splits", "files"):
        files = {role: file for role, file in getattr(source, field, {}).items() if role != "sft"}
        if files:
            return source.model_copy(update={field: files})
    return source
