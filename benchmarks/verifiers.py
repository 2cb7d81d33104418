"""How fast the strong rule judges, hostile pairs included, and whether these change any other verdict.

    python -m benchmarks.verifiers [--pairs 20000] [--hostile 0.001] [--processes 2] [--json FILE]

Pairs are generated: numbers, units, words, formulas, sets and intervals in equal parts, half of them right by
construction, each formula another one, so that nothing is answered from a cache. The target is 20,000 pairs
in 60 s on two cores with one hostile pair in a thousand.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from pipelines.rewards.answers.rule_params import WorkerParams
from pipelines.rewards.answers.workers import Workers
from pipelines.rewards.rules.math_answer import check_many
from pipelines.rewards.verdict import Verdict

HOSTILE = (
    "9^{9^{9^9}}", "100000000!", "(x+y+z)^{3000}", "2^{2^{2^{2^{2^{2}}}}}", r"\binom{10^9}{5\cdot10^8}",
    "10^{999999999}",
    r"\int_0^1 \frac{\sin(x^x)}{\log(1+x^{x^x})}dx", "(" * 1900, "9" * 1900, "{" * 100_000, "5 " * 50_000,
    "1/3" * 600, "\ud800", "\x00",
)  # fmt: skip
Row = tuple[str, str, bool]


def numbers(rng: Random) -> tuple[str, str, str]:
    value = rng.randint(1000, 999_999)
    return f"{value:,}", str(value), str(value + rng.choice((-10, 1, 900)))


def quantities(rng: Random) -> tuple[str, str, str]:
    value = rng.randint(1, 9999)
    return rf"{value} \mathrm{{~cm}}", f"{value / 100} m", f"{value} m"


def phrases(rng: Random) -> tuple[str, str, str]:
    words = rng.sample(
        ["gel", "western", "northern", "blot", "assay", "protein", "transfer", "membrane", "stain", "band"], 3
    )
    return " ".join(words), f"The {' '.join(words).capitalize()}.", " ".join(words[:2])


def formulas(rng: Random) -> tuple[str, str, str]:
    a, b, c = (rng.randint(2, 99) for _ in range(3))
    return rf"\frac{{{a}x+{b}}}{{{c}}}", rf"\frac{{{b}+{a}x}}{{{c}}}", rf"\frac{{{a}x-{b}}}{{{c}}}"


def roots(rng: Random) -> tuple[str, str, str]:
    a, b = rng.randint(2, 99), rng.choice((2, 3, 5, 6, 7, 10, 11))
    return rf"{a}\sqrt{{{b}}}", rf"\sqrt{{{a * a * b}}}", rf"\sqrt{{{a * a * b + 1}}}"


def collections(rng: Random) -> tuple[str, str, str]:
    a, b, c = sorted(rng.sample(range(100), 3))
    if rng.random() < 0.5:
        return (
            rf"\{{{a},\sqrt{{{b}}},{c}\}}",
            rf"\{{{c},{a},\sqrt{{{b}}}\}}",
            rf"\{{{c},{a},\sqrt{{{b + 1}}}\}}",
        )
    return rf"[{a},{b}\pi)", rf"{a} \le x < {b}\pi", rf"{a} < x < {b}\pi"


KINDS: Sequence[Callable[[Random], tuple[str, str, str]]] = (
    numbers,
    quantities,
    phrases,
    formulas,
    roots,
    collections,
)


def pairs(count: int, seed: int) -> tuple[list[Row], list[bool]]:
    """Responses with references, and whether each is right."""
    rng = Random(seed)
    rows, truth = [], []
    for place in range(count):
        reference, same, other = KINDS[place % len(KINDS)](rng)
        is_right = rng.random() < 0.5
        answer = same if is_right else other
        rows.append(
            (
                rng.choice(
                    ("Steps.\n#### {}", "Steps.\nTherefore, the answer is {}", r"So \boxed{{{}}}.")
                ).format(answer),
                reference,
                True,
            )
        )
        truth.append(is_right)
    return rows, truth


def timed(rows: Sequence[Row], processes: int) -> tuple[list[Verdict], float]:
    pool = Workers(WorkerParams(processes=processes))
    began = time.perf_counter()
    verdicts = check_many(rows, pool)
    seconds = time.perf_counter() - began
    pool.close()
    return verdicts, seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--hostile", type=float, default=0.001, help="share of the pairs")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows, truth = pairs(options.pairs, 0)
    hostile = round(options.pairs * options.hostile)
    step = max(1, options.pairs // max(1, hostile))
    mixed: list[tuple[int, Row]] = []
    for place, row in enumerate(rows):
        if place % step == step // 2 and place // step < hostile:
            mixed.append((-1, (f"#### {HOSTILE[place // step % len(HOSTILE)]}", r"\sqrt{2}x", True)))
        mixed.append((place, row))
    clean, clean_seconds = timed(rows, options.processes)
    found, seconds = timed([row for _, row in mixed], options.processes)
    judged = {place: verdict for (place, _), verdict in zip(mixed, found, strict=True) if place >= 0}
    changed = sum(judged[place] != verdict for place, verdict in enumerate(clean))
    wrong = [
        rows[place] for place, verdict in enumerate(clean) if (verdict.outcome == "right") != truth[place]
    ]
    hostile_outcomes = Counter(
        verdict.outcome for (place, _), verdict in zip(mixed, found, strict=True) if place < 0
    )
    result = {
        "pairs": len(rows), "seconds_without_hostile": round(clean_seconds, 1), "hostile": hostile,
        "seconds": round(seconds, 1),
        "pairs_per_second": round(len(mixed) / seconds), "verdicts_changed_by_hostile_pairs": changed,
        "misjudged": len(wrong),
        "hostile_outcomes": dict(hostile_outcomes), "processes": options.processes,
        "machine": platform.machine(), "cores": os.cpu_count(),
    }  # fmt: skip
    print(
        "| "
        + " | ".join(result)
        + " |\n|"
        + "---|" * len(result)
        + "\n| "
        + " | ".join(map(str, result.values()))
        + " |"
    )
    for row in wrong[:5]:
        print("misjudged:", row)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
