"""The `rlvr_evaluate@<model>` stage: accuracy on a multi-subject set's held-out questions, by subject, field
and novelty.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from pipelines.corpora.record import read_records
from pipelines.evaluation.accuracy import accuracy, by_key
from pipelines.evaluation.answers import Answer, answer_problems, evenly_spaced
from pipelines.models import policy
from pipelines.models.placement import Placement
from pipelines.rewards.answers.extraction import last_line
from tasks.judges import make_judge
from tasks.rlvr_params import RlvrEvaluateParams, RlvrModel
from tasks.sampler import make_sampler
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write metrics/rlvr_evaluate/<model>.json and samples/rlvr/<model>.jsonl."""
    settings, execution = stage.section("rlvr_evaluate.settings", RlvrEvaluateParams), stage.execution
    chosen = stage.section(f"rlvr_evaluate.models.{stage.item}", RlvrModel)
    placement = Placement.resolve(execution.device, execution.dtype, execution.threads)
    model, tokens = policy.load(
        stage.input(f"models/{stage.item}/model"), trust_remote_code=execution.trust_remote_code
    )
    judge = make_judge(stage, settings.grader, tokens, placement)
    if judge.rule and tokens.reward != settings.grader.kind:
        raise ValueError(
            f"the set {chosen.set} names the checker {tokens.reward}, rlvr_evaluate.settings.grader is "
            f"{settings.grader.kind}; "
            "make them equal"
        )
    engine = make_sampler(model.to(placement.device), tokens, placement, execution)
    folder = stage.input(f"data/{chosen.set}/records")
    problems = evenly_spaced(read_records(folder / "heldout.jsonl"), settings.problems)
    if not problems:
        raise ValueError(f"{folder}/heldout.jsonl holds no question to evaluate on")
    answers: dict[str, list[Answer]] = {}
    for name, samples, temperature in (
        ("greedy", 1, 0.0),
        ("sampled", settings.samples, settings.sampling.temperature),
    ):
        sampling = settings.sampling.model_copy(update={"temperature": temperature})
        answers[name] = answer_problems(
            engine, tokens, judge, problems, samples, sampling, stage.seed, settings.max_error_share
        )
        stage.progress(len(answers), 2, accuracy=fmean(answer.right for answer in answers[name]))
    head = {"model": stage.item, "set": chosen.set, "settings": settings.model_dump(mode="json")}
    figures = head | _figures(answers["greedy"], answers["sampled"], _practised(folder))
    stage.out(f"metrics/rlvr_evaluate/{stage.item}.json").write_text(
        json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8"
    )
    with open(stage.out(f"samples/rlvr/{stage.item}.jsonl"), "w", encoding="utf-8") as stream:
        for name, given in answers.items():
            stream.writelines(json.dumps(_row(answer, name), ensure_ascii=False) + "\n" for answer in given)


def _practised(folder: Path) -> set[str]:
    """Subjects that policies were trained on."""
    return {record.subject for record in read_records(folder / "rl.jsonl")}


def _figures(greedy: Sequence[Answer], sampled: Sequence[Answer], practised: set[str]) -> dict[str, Any]:
    lines = Counter(last_line(answer.text) for answer in sampled)
    return {
        "heldout": {"greedy": accuracy(greedy, False), "sampled": accuracy(sampled, False)},
        "by_novelty": by_key(
            greedy, sampled, lambda answer: "seen" if answer.record.subject in practised else "unseen", False
        ),
        "by_subject": by_key(greedy, sampled, lambda answer: answer.record.subject, False),
        "by_field": by_key(greedy, sampled, lambda answer: answer.record.meta.get("field"), False),
        "length": fmean(len(answer.completion.ids) for answer in sampled),
        "finished": fmean(answer.completion.finish.complete for answer in sampled),
        "distinct_lines": len(lines) / len(sampled),
        "top_line": {
            "text": lines.most_common(1)[0][0][:80],
            "share": lines.most_common(1)[0][1] / len(sampled),
        },
    }


def _row(answer: Answer, decoding: str) -> dict[str, Any]:
    record = answer.record
    return {
        "id": record.id,
        "subject": record.subject,
        "prompt": record.prompt,
        "answer": record.answer,
        "text": answer.text,
        "verdict": answer.verdict.outcome,
        "reason": answer.verdict.reason,
        "decoding": decoding,
    }
