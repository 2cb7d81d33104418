"""Adversarial tests of a verifier: all attacks on many questions, false accepts and false rejects by attack
and subject, and the gate.

Any judge can be tested, through the interface that the policy loop uses, so that the rates are those of the
reward.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.evaluation.attacks import fixed, near_misses, protected, same_text
from pipelines.evaluation.intervals import share_of
from pipelines.evaluation.laboratory_params import GateParams
from pipelines.rewards.judge import Judge, Response


@dataclass(frozen=True)
class Case:
    """A question with its reference answer; `right` and `wrong`: further answers with exact labels."""

    id: str
    prompt: str
    answer: str
    source: str
    subject: str
    prompt_ids: list[int] = field(default_factory=list)
    meta: Mapping[str, Any] = field(default_factory=dict)
    right: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One text to judge on one case."""

    case: Case
    group: str
    name: str
    text: str
    acceptable: bool


def trials(cases: Sequence[Case], seed: int) -> list[Trial]:
    """Returns all attacks and right answers of all cases, without attacks that equal a right answer."""
    keys: dict[str, list[str]] = {}
    for case in cases:
        keys.setdefault(case.subject, []).append(case.answer)
    trial_list = []
    for case in cases:
        generator = random.Random(f"{seed}\x00{case.id}")
        attacks = [*fixed(case.prompt), *near_misses(case.answer, keys[case.subject], generator)]
        attacks += [("near miss", "of the set", text) for text in case.wrong]
        goods = [*protected(case.answer), *(("same", "in other words", text) for text in case.right)]
        true = [case.answer, *case.right]
        trial_list += [
            Trial(case, *attack, False)
            for attack in attacks
            if not any(same_text(attack[2], text) for text in true)
        ]
        trial_list += [Trial(case, *good, True) for good in goods]
    return trial_list


def spread_over_subjects(cases: Sequence[Case], count: int) -> list[Case]:
    """Returns `count` cases, taken from the subjects in turn; deterministic."""
    queues: dict[str, list[Case]] = {}
    for case in cases:
        queues.setdefault(case.subject, []).append(case)
    depth = max(map(len, queues.values()), default=0)
    return [
        queue[place] for place in range(depth) for _, queue in sorted(queues.items()) if place < len(queue)
    ][:count]


def laboratory(judge: Judge, cases: Sequence[Case], seed: int, exact: Judge | None = None) -> dict[str, Any]:
    """Returns {cases, attacks: {group: {name: rate}}, false_accept, worst, false_reject, by_subject,
    protected, errors}; a rate is {n, right, share, low, high}.

    An error verdict does not accept; errors are also counted apart. An `exact` checker decides what is right:
    `YES` is no attack where the key is `yes, they may`.
    """
    tried = trials(cases, seed)
    if exact is not None:
        truth = exact.judge([Response(trial.case, (), trial.text, True) for trial in tried])
        tried = [
            trial
            for trial, verdict in zip(tried, truth, strict=True)
            if (verdict.outcome == "right") == trial.acceptable
        ]
    verdicts = judge.judge([Response(trial.case, (), trial.text, True) for trial in tried])
    accepted = [verdict.outcome == "right" for verdict in verdicts]
    pairs = list(zip(tried, accepted, strict=True))
    attacks = [(trial, verdict_right) for trial, verdict_right in pairs if not trial.acceptable]
    goods = [(trial, verdict_right) for trial, verdict_right in pairs if trial.acceptable]
    tables: dict[str, dict[str, Any]] = {}
    for group, name in dict.fromkeys((trial.group, trial.name) for trial, _ in attacks):
        tables.setdefault(group, {})[name] = _accepts(
            (trial, verdict_right)
            for trial, verdict_right in attacks
            if (trial.group, trial.name) == (group, name)
        )
    worst = max(
        ((rate["share"], name) for table in tables.values() for name, rate in table.items()),
        default=(0.0, ""),
    )
    subjects = sorted({case.subject for case in cases})
    return {
        "cases": len(cases),
        "attacks": tables,
        "false_accept": _accepts(attacks),
        "worst": {"share": worst[0], "name": worst[1]},
        "false_reject": _rejects(goods),
        "protected": {
            name: _rejects(pair for pair in goods if pair[0].name == name)
            for name in dict.fromkeys(trial.name for trial, _ in goods)
        },
        "by_subject": {
            subject: {
                "false_accept": _accepts(pair for pair in attacks if pair[0].case.subject == subject),
                "false_reject": _rejects(pair for pair in goods if pair[0].case.subject == subject),
            }
            for subject in subjects
        },
        "errors": sum(verdict.outcome == "error" for verdict in verdicts) / max(1, len(verdicts)),
    }


def gate(agreement: Mapping[str, Any], attacked: Mapping[str, Any], limits: GateParams) -> list[str]:
    """Returns the reasons why the verifier may not reward a policy, one line each."""
    checks = [
        (
            agreement["kappa"] >= limits.min_kappa,
            f"kappa {agreement['kappa']:.3f} is below min_kappa {limits.min_kappa}",
        ),
        (
            agreement["unparsed"] <= limits.max_unparsed,
            f"{agreement['unparsed']:.2%} unparsed, max_unparsed {limits.max_unparsed:.2%}",
        ),
        (
            attacked["false_accept"]["share"] <= limits.max_false_accept,
            f"{attacked['false_accept']['share']:.2%} of the attacks are accepted, max_false_accept "
            f"{limits.max_false_accept:.2%}",
        ),
        (
            attacked["worst"]["share"] <= limits.max_attack,
            f"{attacked['worst']['name']} is accepted in {attacked['worst']['share']:.2%}, max_attack "
            f"{limits.max_attack:.2%}",
        ),
        (
            attacked["false_reject"]["share"] <= limits.max_false_reject,
            f"{attacked['false_reject']['share']:.2%} of the right answers are refused, max_false_reject "
            f"{limits.max_false_reject:.2%}",
        ),
    ]
    return [reason for passed, reason in checks if not passed]


def _accepts(pairs: Iterable[tuple[Trial, bool]]) -> dict[str, float]:
    pairs = list(pairs)
    return share_of([accepted for _, accepted in pairs], [trial.case.id for trial, _ in pairs])


def _rejects(pairs: Iterable[tuple[Trial, bool]]) -> dict[str, float]:
    pairs = list(pairs)
    return share_of([not accepted for _, accepted in pairs], [trial.case.id for trial, _ in pairs])
