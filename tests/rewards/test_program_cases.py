"""The handed cases of programs: each has the verdict that a careful person gives."""

import json
import os
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
    other = {row["situation"]: sample.verdict for row, sample in zip(rows, samples, strict=True) if sample.verdict.outcome != row["right"]}
    assert not other
