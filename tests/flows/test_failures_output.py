"""A stage that prints more than anyone will read: the log stays bounded, memory too, and the end of it is
kept.
"""

from __future__ import annotations

import resource
from pathlib import Path

from flows.running import process
from flows.running.executor import StageWatch
from tests.flows.accident import Scene

LOUD = '''"""Prints 100 MB."""

import os
import sys

from tasks.toy_common import emit


def run(stage):
    print("the first words")
    block = b"".join(b"%07d the quick brown fox jumps over the lazy dog, again and again and again\\\\n" % i for i in range(12000))
    sys.stdout.flush()
    for _ in range(76):
        os.write(1, block) == len(block) or os._exit(3)
    for _ in range(32):
        os.write(1, b"x" * (1 << 20)) == 1 << 20 or os._exit(3)
    os.write(1, b"\\\\n\\\\xff\\\\xfe no text\\\\n::progress {cut\\\\n::progress [1]\\\\n")
    emit(stage, {"loud": True})
    print("the last words")
'''.replace("\\\\", "\\")


def test_a_hundred_megabytes(scene: Scene) -> None:
    scene.stage("sft", LOUD)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes
    lines: list[str] = []
    outcome = scene.session("sft@sft", watch=StageWatch(line=lines.append))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert outcome.how == {"sft@sft": "run"}, outcome.why
    assert grown < 250 << 10  # MLflow is loaded meanwhile, which takes a good part of this
    assert lines[0] == "the first words"
    assert len(lines) <= process.WATCHED_LINES
    assert "only in" in lines[-1]
    log = max(scene.folder.glob(".whetstone/logs/*/sft-sft.log"), key=lambda path: path.stat().st_mtime)
    assert log.read_bytes().endswith(b"the last words\n")
    kept = sum(path.stat().st_size for path in log.parent.iterdir())
    assert kept <= 2 * (process.LOG_BYTES + process.LINE_BYTES)
    assert str(log) in lines[-1] or Path(log).name in lines[-1]
