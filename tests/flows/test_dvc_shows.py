"""DVC's own commands show what is declared: metrics and figures, here and of commits, and experiments."""

from __future__ import annotations

import json
import shutil

from tests.flows.toy import Project

CURVE = '<svg xmlns="http://www.w3.org/2000/svg"/>'


def test_metrics_plots_and_experiments_are_dvcs_too(graph: Project) -> None:
    graph.git("add", "-A")
    graph.git("commit", "-qm", "results")
    (graph.folder / "reports/plots").mkdir()
    (graph.folder / "reports/plots/reward.svg").write_text(CURVE)
    shown = json.loads(graph.dvc("metrics", "show", "--json").stdout)[""]["data"]
    assert set(shown) >= {"metrics/evaluate/grpo.json", "metrics/train/sft.json"}
    pictures = json.loads(graph.dvc("plots", "show", "--json").stdout)
    assert [name for name in pictures["data"] if name.endswith("reward.svg")]
    assert not pictures.get("errors")
    shutil.rmtree(graph.folder / "metrics")  # as in a clone: the cache has them
    changed = graph.dvc("metrics", "diff", "--json", "HEAD")
    assert changed.returncode == 0, changed.stderr
    rows = json.loads(graph.dvc("exp", "show", "--json").stdout)
    commit = next(row for row in rows if row["rev"] != "workspace")
    assert set(commit["data"]["metrics"]) >= {"metrics/evaluate/grpo.json"}
