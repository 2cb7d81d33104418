"""Rewards tried on the reference answers of a set and on wrong ones, before anything is learnt from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from flows.configured_run import Finding
from pipelines.corpora.records.example import read_examples
from pipelines.corpora.records.rendering import with_ids
from pipelines.models.placement import Placement
from pipelines.rewards.judge import JudgeContext, Response, judge_of
from pipelines.rewards.scoring import CheckerFailed
from pipelines.rewards.verdict import Verdict, applies

QUESTIONS = 12
WAYS = ("{}", "#### {}", "\\boxed{{{}}}", "The answer is {}.")  # in which a rule may want an answer
NOBODYS = ("", "I do not know.")  # no answer to anything


def findings(folder: Path, params: Any) -> Iterator[Finding]:
    """Yields a finding for each reward and set. `folder`: where the sets are, whole."""
    tried: set[tuple[str, str]] = set()
    for family in ("rl", "evaluate"):
        for name, run in getattr(params, family).runs.items():
            key = (run.reward.model_dump_json(), run.data)
            path = (
                folder / "data" / run.data / "records" / ("rl.jsonl" if family == "rl" else "heldout.jsonl")
            )
            if key in tried or run.reward.asks_run is not None or not path.exists():
                continue
            tried.add(key)
            yield _finding(f"reward of {family}@{name}", run.reward, path)


def _finding(what: str, reward: Any, path: Path) -> Finding:
    records = [with_ids(example, ([], [], [])) for example in islice(read_examples(path), QUESTIONS)]
    if not records:
        return Finding(what, True, "not tried: the set has no question", needed=False)
    shown = getattr(reward, "path", reward.kind)
    try:
        judge = judge_of(reward, JudgeContext(None, None, Placement.resolve("cpu", "float32", 0), 4096))  # type: ignore[arg-type]
        first = judge.judge(list(islice(_responses(records, right=True), 1)))
        if any(verdict.outcome == "error" and applies(verdict) for verdict in first):
            return _judged(
                what, shown, records, first, ()
            )  # each further call could take its whole time limit
        right, wrong = (judge.judge(list(_responses(records, is_right))) for is_right in (True, False))
    except (CheckerFailed, ValueError, RuntimeError, OSError) as error:
        return Finding(what, False, f"{shown}: {error}", "mend the reward: `whetstone judge` tries it alone")
    return _judged(what, shown, records, right, wrong)


def _responses(records: Sequence[Any], right: bool) -> Iterator[Response]:
    for number, record in enumerate(records):
        answer = record.answer if right else _other(number, records)
        texts = [way.format(answer) for way in WAYS] if answer else []
        demonstrated = record.response if right else None
        for text in [*([demonstrated] if demonstrated else []), *texts, *(() if right else NOBODYS)]:
            yield Response(record, tuple(range(len(text.split()))), text, True)


def _other(number: int, records: Sequence[Any]) -> str:
    """Returns the answer to another question; of questions without answers another question."""
    own = records[number].answer
    others = (other.answer or other.prompt for other in records if other.answer != own or not own)
    return next(others, f"{own}1" if own else "")


def _judged(
    what: str, shown: str, records: Sequence[Any], right: Sequence[Verdict], wrong: Sequence[Verdict]
) -> Finding:
    everything = [*right, *wrong]
    errors = [verdict.reason for verdict in everything if verdict.outcome == "error" and applies(verdict)]
    scores = {verdict.score for verdict in everything if verdict.outcome != "error"}
    said = f"{shown} on {len(records)} questions"
    mend = "mend the reward: `whetstone judge` tries it alone"
    if errors:
        return Finding(
            what,
            False,
            f"{said}: {len(errors)} of {len(everything)} calls are errors, the first: {errors[0]}",
            mend,
        )
    if len(scores) < 2:
        value = f"{scores.pop():.4g}" if scores else "nothing"
        return Finding(
            what,
            False,
            f"{said}: constant, {value} for reference answers, wrong ones and none: all groups would be "
            "unanimous, and nothing can be learnt",
            mend,
        )
    accepted = any(verdict.outcome == "right" for verdict in right)
    if right and not accepted and any(record.answer for record in records):
        return Finding(
            what, False, f"{said}: no reference answer is right", "choose the rule that fits the answers"
        )
    means = [
        f"{name} {sum(verdict.score for verdict in side) / len(side):.2f}"
        for name, side in (("reference answers", right), ("wrong ones", wrong))
        if side
    ]
    return Finding(what, True, f"{said}: mean score of {', of '.join(means)}")
