"""The corpus stage: raw data -> typed, split and decontaminated examples as text, with all counts."""

from __future__ import annotations

import json

from pipelines.corpora.build import Corpus, build
from pipelines.corpora.corpus_params import CorpusParams
from pipelines.corpora.records.rows_kept import rows_sentence
from tasks.sources import opener
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Run the stage `corpus@NAME`. It fails and names the first bad rows when more of a source than
    `max_bad_rows` cannot be used.
    """
    name = stage.item
    params = stage.section(f"corpus.{name}", CorpusParams)
    corpus = build(
        name,
        params,
        stage.input(params.raw),
        stage.seed,
        stage.out(f"data/{name}/records"),
        stage.say,
        stage.execution.threads or None,
        open_source=opener(stage),
    )
    stage.out(f"metrics/corpus/{name}.json").write_text(
        json.dumps(corpus.metrics, indent=1, ensure_ascii=False) + "\n", "utf-8"
    )
    _tell(stage, corpus)


def _tell(stage: Stage, corpus: Corpus) -> None:
    metrics = corpus.metrics
    stage.say("records: " + ", ".join(f"{file} {number}" for file, number in metrics["records"].items()))
    stage.say(rows_sentence(metrics["rows"]))
