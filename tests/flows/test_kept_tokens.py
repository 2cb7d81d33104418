"""Kept token ids that nothing has read for two weeks go when a run begins; others stay."""

import os
import time
from pathlib import Path

from flows.running.leftovers import KEPT_S, end_all
from flows.workspace import STATE
from tasks.stage import TOKENS


def test_idle_ids_go_and_others_stay(tmp_path: Path):
    kept = tmp_path / STATE / TOKENS
    for name, age in (("old", KEPT_S + 60), ("new", KEPT_S - 60)):
        (kept / name).mkdir(parents=True)
        os.utime(kept / name, (time.time() - age,) * 2)
    assert end_all(tmp_path) == 0
    assert [path.name for path in kept.iterdir()] == ["new"]
