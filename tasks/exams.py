"""The `exams@<exam>` stage: a published exam -> free-form questions with reference answers, with the counts
of every rule that removed some.
"""

from __future__ import annotations

import json

from pipelines.corpora.exams.exam_set import read_exam, write_exams
from pipelines.corpora.exams.exams_params import ExamsParams
from pipelines.corpora.records.rows_kept import rows_sentence
from tasks.sources import opener
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write data/exams/<exam>/questions.jsonl and metrics/exams/<exam>.json."""
    name = stage.item
    params = stage.section(f"exams.{name}", ExamsParams)
    questions, counts = read_exam(name, params, stage.input(params.origin), stage.seed, opener(stage))
    folder = stage.out(f"data/exams/{name}")
    folder.mkdir(parents=True, exist_ok=True)
    write_exams(folder / "questions.jsonl", questions)
    stage.out(f"metrics/exams/{name}.json").write_text(
        json.dumps(counts, indent=1, ensure_ascii=False) + "\n", "utf-8"
    )
    stage.say(rows_sentence(counts["rows"]))
