"""The `evaluate@<run>` stage: a model's accuracy with intervals on held-out questions, answered greedily and
by sampling, and all answers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from pipelines.corpora.records.example import read_examples
from pipelines.corpora.records.rows_kept import rows_kept
from pipelines.corpora.records.tokenised import read_tokenised
from pipelines.evaluation.accuracy import accuracy, by_key, graded, mean_score
from pipelines.evaluation.answers import Answer, answer_problems, evenly_spaced
from pipelines.evaluation.code_figures import code_figures
from pipelines.models import policy
from pipelines.models.placement import Placement
from pipelines.rewards.answers.extraction import last_line
from pipelines.rewards.scoring import PARTS, part_means
from tasks.evaluate_params import EvaluateRun
from tasks.judges import make_judge
from tasks.sampler import make_sampler
from tasks.stage import TOKENS, Stage


def run(stage: Stage) -> None:
    """Write metrics/evaluate/<run>.json and samples/<run>.jsonl."""
    settings, execution = stage.settings(EvaluateRun), stage.execution
    placement = Placement.resolve(execution.device, execution.dtype, execution.threads)
    model, tokens = policy.load(
        stage.input(f"models/{settings.model}/model"), trust_remote_code=execution.trust_remote_code
    )
    judge = make_judge(stage, settings.reward, tokens, placement)
    folder = stage.input(f"data/{settings.data}/records")
    heldout = read_tokenised(folder, "heldout", tokens, stage.cache(TOKENS))
    checker = heldout.rules.reward
    if judge.rule and checker not in (None, settings.reward.kind):
        raise ValueError(
            f"the data {settings.data} names the checker {checker}, evaluate.runs.{stage.item}.reward "
            f"is {settings.reward.kind}; make them equal"
        )
    engine = make_sampler(model.to(placement.device), tokens, placement, execution)
    problems = evenly_spaced(heldout.records, settings.problems)
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
    count_errors = settings.on_error == "wrong"
    figures = _figures(answers["greedy"], answers["sampled"], _trained_subjects(folder), count_errors)
    if examine := getattr(judge, "examine", None):  # of programs there is more to know than right or wrong
        programs = examine([answer.response for answer in answers["sampled"]])
        figures["code"] = code_figures(
            answers["sampled"], programs, settings.submissions, stage.seed, count_errors
        )
    if graded(answers):
        figures["score"] = {name: mean_score(decoded, count_errors) for name, decoded in answers.items()}
    if parts := part_means(answer.verdict for answer in answers["sampled"]):
        figures["rewards"] = {name.removeprefix(PARTS): mean for name, mean in parts.items()}
    head = {
        "model": settings.model,
        "data": settings.data,
        "settings": settings.model_dump(mode="json", exclude={"model", "data"}),
        "rows": rows_kept(heldout.read, heldout.left_out, "questions"),
    }
    stage.out(f"metrics/evaluate/{stage.item}.json").write_text(
        json.dumps(head | figures, indent=1) + "\n", "utf-8"
    )
    with open(stage.out(f"samples/{stage.item}.jsonl"), "w", encoding="utf-8") as stream:
        for name, decoded in answers.items():
            for answer in decoded:
                row = _row(answer, name) | ({"score": answer.verdict.score} if "score" in figures else {})
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def _trained_subjects(folder: Path) -> set[str]:
    """Returns the subjects that policies are trained on."""
    return {record.subject for record in read_examples(folder / "rl.jsonl")}


def _figures(
    greedy: Sequence[Answer], sampled: Sequence[Answer], trained_subjects: set[str], count_errors: bool
) -> dict[str, Any]:
    tokens = sum(len(answer.completion.ids) for answer in sampled)
    lines = Counter(last_line(answer.text) for answer in sampled)
    keys: dict[str, Callable[[Answer], Any]] = {
        "by_subject": lambda answer: answer.record.subject,
        "by_level": lambda answer: answer.record.level,
        "by_field": lambda answer: answer.record.meta.get("field"),
        "by_novelty": lambda answer: "seen" if answer.record.subject in trained_subjects else "unseen",
    }
    return {
        "heldout": {"greedy": accuracy(greedy, count_errors), "sampled": accuracy(sampled, count_errors)},
        **{name: by_key(greedy, sampled, key, count_errors) for name, key in keys.items()},
        "lengths": {
            "greedy": fmean(len(answer.completion.ids) for answer in greedy),
            "sampled": fmean(len(answer.completion.ids) for answer in sampled),
        },
        "entropy": sum(float(answer.completion.entropy.sum()) for answer in sampled) / tokens,
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
        "level": record.level,
        "prompt": record.prompt,
        "answer": record.answer,
        "text": answer.text,
        "ids": answer.completion.ids,
        "verdict": answer.verdict.outcome,
        "reason": answer.verdict.reason,
        "decoding": decoding,
    } | ({"parts": dict(answer.verdict.parts)} if answer.verdict.parts else {})
