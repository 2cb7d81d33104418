"""The `rlvr_set@<set>` stage: a multi-subject set with reference answers, split by cluster and tokenised,
with every loss counted.
"""

from __future__ import annotations

import json

from pipelines.corpora.record import write_records
from pipelines.corpora.rlvr_set import FILES, read_rows, reworded, texts, tokenise
from pipelines.corpora.rlvr_set_params import RlvrSetParams
from pipelines.corpora.rows_kept import sentence
from pipelines.models.tokenizer_training import make_tokens
from pipelines.seams import load
from tasks.sources import opener
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write data/<set>/records/{sft,explore,rl,calib,validation,heldout}.jsonl, data/<set>/tokenizer and
    metrics/rlvr_set/<set>.json.
    """
    name = stage.item
    params = stage.section(f"rlvr_set.{name}", RlvrSetParams)
    rows, counts = read_rows(params, stage.input(params.origin), stage.seed, opener(stage))
    if params.wording is not None:
        rows = reworded(
            rows, load("pipelines.rewards", params.wording.module), params.wording.share, stage.seed
        )
    target = stage.out(f"data/{name}/tokenizer")
    tokens = make_tokens(params.tokenizer, params.template, params.reward, texts(rows), target, opener(stage))
    made = tokenise(name, rows, tokens, params, counts)
    folder = stage.out(f"data/{name}/records")
    folder.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        write_records(folder / f"{file}.jsonl", made.records[file])
    stage.out(f"metrics/rlvr_set/{name}.json").write_text(
        json.dumps(made.metrics, indent=1, ensure_ascii=False) + "\n", "utf-8"
    )
    stage.say(
        "questions: " + ", ".join(f"{file} {number}" for file, number in made.metrics["records"].items())
    )
    stage.say(sentence(made.metrics["rows"]))
    if made.metrics["unseen_subjects"]:
        stage.say("subjects that nothing is trained on: " + ", ".join(made.metrics["unseen_subjects"]))
