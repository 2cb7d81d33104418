"""How many of 10,000 responses that state no answer a rule calls right: it must be none.

    python -m benchmarks.false_passes [--count 10000] [--seed 0] [--rule NAME ...]

The responses are `tests.rewards.no_answers`'s: questions, refusals, reasoning without a conclusion, every
option named, hedges and retractions, most of which hold the reference.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.rewards.no_answers import REFERENCES, no_answers, passes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rule", nargs="*", default=list(REFERENCES), choices=list(REFERENCES))
    options = parser.parse_args()
    failed = 0
    print("| rule | responses | distinct | called right | seconds |\n|---|---|---|---|---|")
    for rule in options.rule:
        made, began = no_answers(rule, options.count, options.seed), time.perf_counter()
        found = passes(rule, made)
        failed += len(found)
        print(
            f"| {rule} | {len(made)} | {len(set(made))} | {len(found)} | {time.perf_counter() - began:.1f} |"
        )
        for text, reference in found[:5]:
            print(f"  {text!r} for {reference!r}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
