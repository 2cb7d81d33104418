"""How many tests of programs the code reward runs in a second, on real reference solutions, and what one
sandbox costs.

    python -m benchmarks.sandbox [--data FOLDER] [--workers 4] [--problems 120] [--json FILE]

FOLDER holds `mbpp/mbpp.jsonl` and `humaneval/*.jsonl` as published; without it, a made-up problem of three
assertions is judged instead. Each program gets a sandbox of its own, each test a process of its own; all of
them end well, so nothing waits for a clock.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pipelines.corpora.code.code_source import read_source  # noqa: E402
from pipelines.corpora.code.code_source_params import CodeProblemFile  # noqa: E402
from pipelines.corpora.raw.ledger import Ledger  # noqa: E402
from pipelines.rewards.code.code_tests_params import CodeTestsParams, SandboxLimits  # noqa: E402
from pipelines.rewards.code.program_scoring import CodeTests  # noqa: E402
from pipelines.rewards.sandbox.probe import find_launcher  # noqa: E402
from pipelines.rewards.sandbox.process import Sandbox  # noqa: E402

SETS = {"mbpp": ("mbpp", "mbpp/mbpp.jsonl"), "humaneval": ("human_eval", "humaneval/humaneval_even.jsonl")}
MADE = {"hidden_tests": [{"code": f"assert candidate({n}) == {n * n}"} for n in range(3)], "fn_name": "f"}
STDIO = {"hidden_tests": [{"input": f"{n}\n", "output": f"{n * n}\n"} for n in range(3)]}


def responses(data: Path | None, limit: int) -> dict[str, list[tuple[str, str, bool]]]:
    """By set: (program, reference, finished)."""
    found = {
        "made, assertions": [("def f(n):\n    return n * n\n", json.dumps(MADE), True)] * limit,
        "made, whole programs": [("n = int(input())\nprint(n * n)\n", json.dumps(STDIO), True)] * limit,
    }
    for name, (reader, file) in SETS.items() if data else ():
        problems = list(read_source(CodeProblemFile(reader=reader, file=file), Path(str(data)), Ledger(name)))
        chosen = problems[:: max(1, len(problems) // limit)][:limit]
        found[name] = [(problem.solutions[0], problem.answer(), True) for problem in chosen]
    return found


def starts(count: int = 20) -> float:
    """Seconds of one start of a sandbox, the median."""
    launcher, seconds = find_launcher(), []
    for _ in range(count):
        began = time.perf_counter()
        sandbox = Sandbox(launcher, SandboxLimits())
        seconds.append(time.perf_counter() - began)
        sandbox.kill()
    return statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--workers", type=int, default=2 * (os.cpu_count() or 1))
    parser.add_argument("--problems", type=int, default=120)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report: dict[str, Any] = {
        "workers": options.workers,
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "start_s": starts(),
    }
    print(
        f"start of a sandbox: {report['start_s'] * 1e3:.0f} ms; {options.workers} workers, load before "
        f"{report['load_before']:.1f}"
    )
    for name, rows in responses(options.data, options.problems).items():
        with CodeTests(CodeTestsParams(), options.workers) as judge:
            judge.judge(rows[: options.workers])
            began = time.perf_counter()
            samples = judge.judge(rows)
            seconds = time.perf_counter() - began
        tests = sum(len(sample.result.outcomes) for sample in samples)
        passed = sum(sample.passed for sample in samples)
        report[name] = {
            "programs": len(rows),
            "passed": passed,
            "tests": tests,
            "seconds": seconds,
            "tests_per_s": tests / seconds,
        }
        print(
            f"{name}: {passed} of {len(rows)} programs pass; {tests} tests in {seconds:.1f} s, "
            f"{tests / seconds:.0f} tests/s"
        )
    if options.json:
        options.json.write_text(json.dumps(report, indent=1), "utf-8")


if __name__ == "__main__":
    main()
