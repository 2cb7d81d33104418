"""The `judgements@<name>` stage: (question, reference, response, label) to train, calibrate and evaluate
verifiers.

A policy explores the set's `explore` questions with the teacher's verdict as its reward. Calibration and
held-out questions are answered by the policy before and after its training, which are the styles that a
verifier meets. The other source is published solutions, split by question.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from statistics import fmean
from typing import Any

from pipelines.corpora.cleaning.canonical import canonical_form
from pipelines.corpora.cleaning.split import hash_fraction
from pipelines.corpora.raw import long_reference
from pipelines.corpora.raw.ledger import Ledger
from pipelines.corpora.records.example import read_examples, write_examples
from pipelines.corpora.records.judgement import QUESTIONS, Judgement, write_judgements
from pipelines.corpora.records.record import Record
from pipelines.corpora.records.tokenised import read_tokenised
from pipelines.evaluation.answers import answer_problems
from pipelines.models import policy
from pipelines.models.placement import Placement
from pipelines.models.tokenizer import Tokens
from pipelines.rewards.judge import Judge, Response
from pipelines.training.recording import RecordingJudge
from tasks.judgements_params import ExploreSource, JudgementsParams, PublishedSource
from tasks.policy_run import RunInputs, TrainedPolicy, curve, optimise, updates_made, without_update
from tasks.sampler import make_sampler
from tasks.stage import TOKENS, Stage
from tasks.stage_warnings import warned

FILES = ("train", "calib", "heldout")
PARTS = 5  # of the run, for the drift of its labels
VARIANT = ":variant"  # ends the source of judgements that no policy wrote


def run(stage: Stage) -> None:
    """Write data/<name>/judgements/{train,calib,heldout}.jsonl with the held-out questions beside them, and
    metrics/judgements/<name>.json.
    """
    name = stage.item
    settings = stage.section(f"judgements.{name}", JudgementsParams)
    if isinstance(settings.source, ExploreSource):
        judgements, facts = _explored(stage, settings, settings.source)
    elif stage.first:
        judgements, facts = _published(stage, settings, settings.source)
    else:
        judgements, facts = {}, {}
    if not judgements:
        return  # another process writes
    _check(name, judgements)
    folder = stage.out(f"data/{name}/judgements")
    folder.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        write_judgements(folder / f"{file}.jsonl", judgements[file])
    questions = read_examples(stage.input(f"data/{settings.data}/records") / "heldout.jsonl")
    write_examples(folder / QUESTIONS, questions)
    figures = {"judgements": name, "data": settings.data, "source": settings.source.kind} | dict(facts)
    figures |= {
        "files": {file: _profile(judgements[file]) for file in FILES},
        "drift": _drift(judgements["train"]),
    }
    stage.out(f"metrics/judgements/{name}.json").write_text(
        json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8"
    )
    stage.say(
        "judgements: "
        + ", ".join(
            f"{file} {len(judgements[file])} ({_share(judgements[file]):.0%} right)" for file in FILES
        )
    )


JudgementFiles = Mapping[str, Sequence[Judgement]]


def _explored(
    stage: Stage, settings: JudgementsParams, source: ExploreSource
) -> tuple[JudgementFiles, Mapping[str, Any]]:
    """Returns judgements by file, and facts about them; empty on every rank but the first."""
    folder, start = stage.input(f"data/{settings.data}/records"), settings.origin.split("/")[1]
    tokens = Tokens.load(stage.input(settings.origin))
    sets = {
        file: read_tokenised(folder, file, tokens, stage.cache(TOKENS))
        for file in ("explore", "validation", "calib", "heldout")
    }
    records = {file: tokenised.records for file, tokenised in sets.items()}
    if source.variants and not any(record.meta.get("wrong") for record in records["explore"]):
        raise ValueError(
            f"source.variants is {source.variants}, but the set {settings.data} has none; give "
            f"corpus.{settings.data} a wording"
        )
    teacher = (
        source.policy.reward.kind
        if source.policy.reward.kind != "chat_verifier"
        else str(getattr(source.policy.reward, "model", ""))
    )
    probable = getattr(source.policy.reward, "form", "") == "soft"
    keep = partial(
        RecordingJudge,
        teacher=teacher,
        questions={record.id for record in records["explore"]},
        probable=probable,
    )
    inputs = RunInputs(
        start,
        records["explore"],
        records["validation"],
        sets["explore"].rules.reward,
        lambda judge, exact: keep(judge, truth=exact),
    )
    trained = optimise(stage, source.policy, inputs)
    memory = trained.recorder
    assert isinstance(memory, RecordingJudge)
    judgements: dict[str, list[Judgement]] = {"train": memory.kept, "calib": [], "heldout": []}
    with trained.engine.gathered() as explorer:
        if trained.ranks.is_first:
            if trained.best is not None:
                trained.best.restore(explorer)
            for file, samples in (("calib", source.calib_samples), ("heldout", source.heldout_samples)):
                judgements[file] = _answers(
                    stage, source, start, explorer, trained, teacher, probable, records[file], samples
                )
            for file, questions in (("train", "explore"), ("calib", "calib"), ("heldout", "heldout")):
                memory_of_variants = RecordingJudge(
                    trained.judge, teacher, trained.checker, probable=probable
                )
                memory_of_variants.judge(_variants(records[questions], source.variants, stage.seed))
                judgements[file] += [
                    replace(judgement, id=f"variant.{judgement.id}", source=f"{judgement.source}{VARIANT}")
                    for judgement in memory_of_variants.kept
                ]
    trained.ranks.leave()
    if not trained.ranks.is_first:
        return {}, {}
    rows = curve(stage)
    return judgements, {
        "teacher": teacher,
        "left_out": dict(sorted(memory.left_out.items())),
        "updates": updates_made(rows),
        "curve": rows,
        **warned(stage, without_update(rows, source.policy)),
    }


def _answers(
    stage: Stage,
    source: ExploreSource,
    start: str,
    explorer: Any,
    trained: TrainedPolicy,
    teacher: str,
    probable: bool,
    problems: Sequence[Record],
    samples: int,
) -> list[Judgement]:
    """Returns judged responses of the policy before and after its training, by the teacher and the exact
    checker.
    """
    placement = Placement.resolve(stage.execution.device, stage.execution.dtype, stage.execution.threads)
    before, _ = policy.load(
        stage.input(f"models/{start}/model"), trust_remote_code=stage.execution.trust_remote_code
    )
    judgements: list[Judgement] = []
    for model, step in ((before.to(placement.device), 0), (explorer, source.policy.iterations)):
        judge: Judge = RecordingJudge(trained.judge, teacher, trained.checker, probable=probable)
        engine = make_sampler(model, trained.tokens, placement, stage.execution)
        limit = source.policy.max_error_share
        answer_problems(
            engine, trained.tokens, judge, problems, samples, source.policy.sampling, stage.seed, limit
        )
        assert isinstance(judge, RecordingJudge)
        judgements += [
            replace(judgement, id=f"step{step}.{judgement.id}", step=step) for judgement in judge.kept
        ]
    return judgements


def _variants(records: Sequence[Record], count: int, seed: int) -> list[Response]:
    """Returns up to `count` right and as many wrong variants of each answer, the reference itself among the
    right ones.
    """
    responses = []
    for record in records:
        rng = Random(f"variants:{seed}:{record.id}")
        for texts in ([record.answer, *record.meta.get("right", ())], list(record.meta.get("wrong", ()))):
            responses += [
                Response(record, (), text, True) for text in rng.sample(texts, min(count, len(texts)))
            ]
    return responses


def _published(
    stage: Stage, settings: JudgementsParams, source: PublishedSource
) -> tuple[JudgementFiles, Mapping[str, Any]]:
    ledger = Ledger(settings.origin)
    rows = list(long_reference.read(stage.input(settings.origin), ledger))
    ledger.check(source.max_bad_rows)
    folder = stage.input(f"data/{settings.data}/records")
    trained_questions = {
        canonical_form(record.prompt)
        for file in ("sft", "explore", "rl")
        for record in read_examples(folder / f"{file}.jsonl")
    }
    judgements: dict[str, list[Judgement]] = {file: [] for file in FILES}
    dropped: Counter[str] = Counter()
    for row in rows:
        position = hash_fraction(f"judgements:{stage.seed}:{row.question_id}")
        heldout, calib = position < source.heldout_share, position < source.heldout_share + source.calib_share
        file = "heldout" if heldout else "calib" if calib else "train"
        if file == "heldout" and canonical_form(row.question) in trained_questions:
            dropped["held-out question that the set trains on"] += 1
        elif not row.response.strip():
            dropped["empty"] += 1
        else:
            judgements[file].append(row)
    return judgements, {
        "teacher": "published",
        "raw": ledger.summary(),
        "left_out": dict(sorted(dropped.items())),
    }


def _check(name: str, judgements: JudgementFiles) -> None:
    """Raises ValueError where a file does not hold both labels, from which a verifier could learn nothing."""
    for file in FILES:
        labels = {judgement.label for judgement in judgements[file]}
        if labels != {0, 1}:
            holding = "nothing" if not labels else f"only label {labels.pop()}"
            raise ValueError(
                f"judgements.{name}: {file} holds {holding}; a verifier needs right and wrong responses. "
                f"Choose questions nearer to the policy's ability, more prompts or samples, or another "
                f"teacher"
            )


def _profile(rows: Sequence[Judgement]) -> dict[str, Any]:
    """Returns the counts, the share of label 1, and how often the teacher's label is the exact one."""
    exact = [row for row in rows if row.truth is not None]
    return {
        "n": len(rows),
        "questions": len({row.question_id for row in rows}),
        "right": _share(rows),
        "exact": len(exact),
        "teacher_accuracy": fmean(row.label == row.truth for row in exact) if exact else None,
        "variants": sum(row.source.endswith(VARIANT) for row in rows),
        "subjects": dict(sorted(Counter(row.subject for row in rows).items())),
    }


def _share(rows: Sequence[Judgement]) -> float:
    return fmean(row.label for row in rows) if rows else 0.0


def _drift(rows: Sequence[Judgement]) -> list[dict[str, float]]:
    """Returns for each fifth of the policy's steps the number of judgements and the share of label 1."""
    rows = [row for row in rows if not row.source.endswith(VARIANT)]
    last = max((row.step for row in rows), default=0) + 1
    parts = [[row for row in rows if row.step * PARTS // last == part] for part in range(PARTS)]
    return [{"n": len(part), "right": _share(part)} for part in parts]
