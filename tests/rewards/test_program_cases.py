"""The handed cases of programs: each has the verdict that a careful person gives."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.settings import ROOT
from tests.rewards.code_made import judges

CASES = Path(os.environ.get("WHETSTONE_CASES", ROOT / "../shared/cases")) / "programs.jsonl"


@pytest.mark.skipif(not CASES.exists(), reason=f"no {CASES}; set WHETSTONE_CASES")
def test_every_case():
    rows = [json.loads(line) for line in CASES.read_text("utf-8").splitlines()]
    with judges(2, limits={"test_seconds": 2, "wall_seconds": 4}) as judge:
        samples = judge.judge([(row["response"], row["reference"], True) for row in rows])
    other = {
        row["situation"]: sample.verdict
        for row, sample in zip(rows, samples, strict=True)
        if sample.verdict.outcome != row["right"]
    }
    assert not other


def test_from_the_command_line(tmp_path):
    """In-place change, a copy instead of one, a test that cannot run, and a usage example behind the
    program.
    """
    with judges():  # skipped where no sandbox can be made
        pass
    test = "a = [2, 1]\nf(a)\nassert a == [1, 2]"
    rows = [
        ("```python\ndef f(a): a.sort()\n```\nUse it:\n```python\nf([1])\n```", test),
        ("def f(a): return sorted(a)", test),
        ("def f(a): a.sort()", f"import no_such_module\n{test}"),
    ]
    lines = [
        json.dumps({"response": text, "reference": {"fn_name": "f", "hidden_tests": [{"code": code}]}})
        for text, code in rows
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), "utf-8")
    command = [sys.executable, "-m", "flows", "judge", "code_tests", "rows.jsonl", "--json"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert [json.loads(line)["outcome"] for line in done.stdout.splitlines()] == [
        "right",
        "wrong",
        "error",
    ], done.stderr
