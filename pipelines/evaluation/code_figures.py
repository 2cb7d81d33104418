"""Figures of programs: pass@k, k@n with submissions selected by public tests, reasons of failures, degenerate
share.

dpo_vs_ppo.md 7, 9.2.23 and 9.2.24; dpo_vs_ppo.md 4.3 asks for the degenerate rate with the pass rate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from pipelines.evaluation.answers import Answer
from pipelines.evaluation.assessment_params import DegenerateParams
from pipelines.evaluation.degenerate import faults
from pipelines.evaluation.intervals import mean_of, share_of
from pipelines.evaluation.pass_at_k import mean_pass_at_k, solved_k_at_n

KINDS = ("empty", "unfinished", "repeated", "unparsable")


class JudgedProgram(Protocol):
    """What is read of a judged program (`rewards.code.code_judge.ProgramReport`): status of its hidden tests,
    whether it parses, whether it passes the public tests (or there are none) and the hidden ones (None: not
    judged).
    """

    @property
    def status(self) -> str: ...

    @property
    def parses(self) -> bool: ...

    @property
    def public(self) -> bool: ...

    @property
    def hidden(self) -> bool | None: ...


def code_figures(
    answers: Sequence[Answer],
    programs: Sequence[JudgedProgram],
    submissions: Sequence[int],
    seed: int,
    count_errors: bool,
) -> dict[str, Any]:
    """Returns {pass_at_k, k_at_n, samples, statuses, errors, degenerate} of sampled answers and their
    programs. `submissions`: the k of pass@k and k@n; those above the smallest number of samples are left out.

    Errors count as failures if `count_errors`, else these samples are left out. A degenerate answer is empty,
    unfinished, repetitive or does not parse.
    """
    kinds = [_faults(answer, program) for answer, program in zip(answers, programs, strict=True)]
    judged: dict[str, list[JudgedProgram]] = {}
    for answer, program in zip(answers, programs, strict=True):
        if count_errors or program.hidden is not None:
            judged.setdefault(answer.record.id, []).append(program)
    fewest = min((len(own) for own in judged.values()), default=0)
    counts = [(len(own), sum(program.hidden is True for program in own)) for own in judged.values()]
    kind_counts = Counter(kind for own in kinds for kind in own)
    return {
        "pass_at_k": {str(k): mean_pass_at_k(counts, k) for k in submissions if k <= fewest},
        "k_at_n": {str(k): _k_at_n(judged, k, seed) for k in submissions if k < fewest},
        "samples": fewest,
        "statuses": dict(sorted(Counter(program.status for program in programs).items())),
        "errors": sum(program.hidden is None for program in programs),
        "degenerate": {
            **share_of([float(bool(own)) for own in kinds], [answer.record.id for answer in answers]),
            "kinds": {kind: kind_counts[kind] for kind in KINDS},
        },
    }


def _k_at_n(judged: dict[str, list[JudgedProgram]], k: int, seed: int) -> dict[str, float | None]:
    solved = [
        solved_k_at_n(
            [program.public for program in own], [program.hidden is True for program in own], k, seed, problem
        )
        for problem, own in judged.items()
    ]
    return mean_of([float(share) for share in solved])


def _faults(answer: Answer, program: JudgedProgram) -> list[str]:
    kinds = faults(answer.completion.ids, answer.text, answer.completion.finish.complete, DegenerateParams())
    return kinds if program.parses else [*kinds, "unparsable"]
