"""The `rlvr_set@<set>` stage: a multi-subject set with reference answers, split by cluster, with every
loss counted.
"""

from __future__ import annotations

import json

from pipelines.corpora.rlvr_set import read_rows, reworded, write_set
from pipelines.corpora.rlvr_set_params import RlvrSetParams
from pipelines.corpora.rows_kept import sentence
from pipelines.seams import load
from tasks.sources import opener
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write data/<set>/records/{sft,explore,rl,calib,validation,heldout}.jsonl and
    metrics/rlvr_set/<set>.json.
    """
    name = stage.item
    params = stage.section(f"rlvr_set.{name}", RlvrSetParams)
    rows, counts = read_rows(params, stage.input(params.origin), stage.seed, opener(stage))
    if params.wording is not None:
        rows = reworded(
            rows, load("pipelines.rewards", params.wording.module), params.wording.share, stage.seed
        )
    metrics = write_set(name, rows, params, counts, stage.out(f"data/{name}/records"))
    stage.out(f"metrics/rlvr_set/{name}.json").write_text(
        json.dumps(metrics, indent=1, ensure_ascii=False) + "\n", "utf-8"
    )
    stage.say("questions: " + ", ".join(f"{file} {number}" for file, number in metrics["records"].items()))
    stage.say(sentence(metrics["rows"]))
    if metrics["unseen_subjects"]:
        stage.say("subjects that nothing is trained on: " + ", ".join(metrics["unseen_subjects"]))
