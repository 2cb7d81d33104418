"""The `evaluate@<model>` stage: accuracy with intervals on held-out problems, answered greedily and sampled,
and every answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import fmean

from pipelines.corpora.record import read_records
from pipelines.evaluation.accuracy import accuracy, by_key
from pipelines.evaluation.answers import Answer, answer_problems, evenly_spaced
from pipelines.evaluation.code_figures import code_figures
from pipelines.evaluation.evaluate_params import EvaluateParams
from pipelines.models import policy
from pipelines.models.placement import Placement
from tasks.judges import make_judge
from tasks.sampler import make_sampler
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write metrics/evaluate/<model>.json and samples/<model>.jsonl."""
    settings, execution, corpus = (
        stage.section("evaluate.settings", EvaluateParams),
        stage.execution,
        stage.value("train.corpus"),
    )
    placement = Placement.resolve(execution.device, execution.dtype, execution.threads)
    model, tokens = policy.load(
        stage.input(f"models/{stage.item}/model"), trust_remote_code=execution.trust_remote_code
    )
    if tokens.reward != settings.reward.kind:
        raise ValueError(
            f"the corpus {corpus} names the checker {tokens.reward}, evaluate.settings.reward is "
            f"{settings.reward.kind}; make them equal"
        )
    judge = make_judge(stage, settings.reward, tokens, placement)
    engine = make_sampler(model.to(placement.device), tokens, placement, execution)
    problems = evenly_spaced(
        read_records(stage.input(f"data/{corpus}/records") / "heldout.jsonl"), settings.problems
    )
    if not problems:
        raise ValueError(f"data/{corpus}/records/heldout.jsonl holds no problem to evaluate on")
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
    figures = _figures(answers["greedy"], answers["sampled"], count_errors)
    if examine := getattr(judge, "examine", None):  # of programs there is more to know than right or wrong
        programs = examine([answer.response for answer in answers["sampled"]])
        figures["code"] = code_figures(
            answers["sampled"], programs, settings.submissions, stage.seed, count_errors
        )
    head = {"model": stage.item, "corpus": corpus, "settings": settings.model_dump(mode="json")}
    stage.out(f"metrics/evaluate/{stage.item}.json").write_text(
        json.dumps(head | figures, indent=1) + "\n", "utf-8"
    )
    with open(stage.out(f"samples/{stage.item}.jsonl"), "w", encoding="utf-8") as stream:
        for name, given in answers.items():
            for answer in given:
                stream.write(json.dumps(_row(answer, name), ensure_ascii=False) + "\n")


def _figures(greedy: Sequence[Answer], sampled: Sequence[Answer], count_errors: bool) -> dict:
    tokens = sum(len(answer.completion.ids) for answer in sampled)
    return {
        "heldout": {"greedy": accuracy(greedy, count_errors), "sampled": accuracy(sampled, count_errors)},
        "by_subject": by_key(greedy, sampled, lambda answer: answer.record.subject, count_errors),
        "by_level": by_key(greedy, sampled, lambda answer: answer.record.level, count_errors),
        "lengths": {
            "greedy": fmean(len(answer.completion.ids) for answer in greedy),
            "sampled": fmean(len(answer.completion.ids) for answer in sampled),
        },
        "entropy": sum(float(answer.completion.entropy.sum()) for answer in sampled) / tokens,
        "finished": fmean(answer.completion.finish.complete for answer in sampled),
    }


def _row(answer: Answer, decoding: str) -> dict:
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
    }
