"""Shares of problems solved within k submissions: pass@k, and k@n where public tests choose what is
submitted.

dpo_vs_ppo.md 7; the estimator is that of Chen et al. 2021 (arXiv 2107.03374, equation 1).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import comb

from pipelines.evaluation.intervals import mean_of
from pipelines.rollouts.counter import child_key, root_key


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Returns the probability that k of n samples, drawn without replacement, contain one of the `correct`: 1
    - C(n - c, k) / C(n, k).
    """
    if not 0 <= correct <= n or not 1 <= k <= n:
        raise ValueError(
            f"pass@{k} of {n} samples with {correct} correct: 0 <= correct <= n and 1 <= k <= n must hold"
        )
    return 1.0 - comb(n - correct, k) / comb(n, k)


def mean_pass_at_k(counts: Sequence[tuple[int, int]], k: int) -> dict[str, float | None]:
    """Returns {n, mean, low, high} for the (n, correct) of each problem: the mean over problems, with its
    bootstrap interval over them.
    """
    return mean_of([pass_at_k(n, correct, k) for n, correct in counts])


def submitted(survivors: Sequence[int], k: int, seed: int, problem: str) -> list[int]:
    """At most k of the samples that passed the public tests, drawn at random; the draw depends on seed,
    problem and sample alone.
    """
    root = root_key(seed, 0, problem)
    return sorted(sorted(survivors, key=lambda sample: child_key(root, sample))[:k])


def solved_k_at_n(public: Sequence[bool], hidden: Sequence[bool], k: int, seed: int, problem: str) -> bool:
    """k@n of one problem: whether a submission passes the hidden tests. No survivor of the public tests is
    unsolved.
    """
    survivors = [sample for sample, passed in enumerate(public) if passed]
    return any(hidden[sample] for sample in submitted(survivors, k, seed, problem))


def weighted(rates: Mapping[Hashable, float], problems: Mapping[Hashable, int]) -> float:
    """Rates by level -> the rate over all problems: (intro 1000 + inter 3000 + comp 1000) / 5000 in
    dpo_vs_ppo.md 7.
    """
    if rates.keys() != problems.keys() or not sum(problems.values()):
        raise ValueError(
            f"rates of {sorted(map(str, rates))} and problem counts of {sorted(map(str, problems))} do not "
            f"belong together"
        )
    return sum(rate * problems[level] for level, rate in rates.items()) / sum(problems.values())
