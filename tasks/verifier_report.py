"""The `verifier_report@<run>` stage: a verifier compared with rules on held-out responses, its laboratory,
and the gate before RL.

Labels are exact where the set has an exact checker; no verifier made them (reward_bridge.md 7.5).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pipelines.corpora.records.example import read_examples
from pipelines.corpora.records.judgement import QUESTIONS, Judgement, read_judgements
from pipelines.evaluation.agreement import JudgedAnswer, agreement, by_subject, mcnemar
from pipelines.evaluation.laboratory import Case, gate, laboratory, spread_over_subjects
from pipelines.models.placement import Placement
from pipelines.models.tokenizer import Tokens
from pipelines.rewards.judge import Judge, JudgeContext, Response, RuleJudge
from pipelines.rewards.models.verifier import make_judge
from pipelines.rewards.verdict import Verdict
from pipelines.seams import load
from tasks.gate import examined, write_gate
from tasks.sources import opener
from tasks.stage import Stage
from tasks.stage_warnings import warned
from tasks.verifier_params import VerifierReportParams

MODEL = "verifier"
VARIANT = ":variant"  # ends the source of judgements that no policy wrote


def run(stage: Stage) -> None:
    """Write metrics/verifier_report/<run>.json and models/<run>/gate."""
    settings, execution, name = (
        stage.section("verifier_report", VerifierReportParams),
        stage.execution,
        stage.item,
    )
    data = stage.value(f"verifier.runs.{name}.data")
    judgement_folder = stage.input(f"data/{data}/judgements")
    placement = Placement.resolve(execution.device, execution.dtype, execution.threads)
    folder = stage.input(f"models/{name}/model")
    context = JudgeContext(
        folder,
        Tokens.load(folder),
        placement,
        execution.micro_batch_tokens,
        execution.trust_remote_code,
        opener(stage),
    )
    model = make_judge(settings.reading, context)
    judges: dict[str, Judge] = {MODEL: model}
    judges |= {arm.rule: RuleJudge(load("pipelines.rewards", arm.rule)) for arm in settings.rules}
    rows = read_judgements(judgement_folder / "heldout.jsonl")
    exact = [row for row in rows if row.truth is not None]
    rows, labels = (exact, "exact") if exact else (rows, "teacher")
    trained_subjects = {row.subject for row in read_judgements(judgement_folder / "train.jsonl")}
    answers = {key: _judged(judge, rows, labels) for key, judge in judges.items()}
    arms = {
        key: _agreement(judged_answers, trained_subjects, rows, stage.seed)
        for key, judged_answers in answers.items()
    }
    stage.progress(1, 2, kappa=arms[MODEL]["seen"]["kappa"])
    variants = {record.id: record.meta for record in read_examples(judgement_folder / QUESTIONS)}
    cases = _cases(rows, variants, settings.laboratory.cases)
    laboratories, unseen = _laboratories(stage, settings, judges, cases, trained_subjects)
    reasons = gate(arms[MODEL]["seen"], laboratories[MODEL], settings.laboratory.gate)
    right = {
        key: [(answer.verdict or 0) == answer.label for answer in judged_answers]
        for key, judged_answers in answers.items()
    }
    seen = arms[MODEL]["seen"]
    stage.say(
        f"kappa {seen['kappa']:.3f} [{seen['kappa_low']:.3f}, {seen['kappa_high']:.3f}] on {seen['n']} "
        f"{labels} held-out labels"
    )
    warnings = at_chance(seen)
    figures = {
        "verifier": name,
        "data": data,
        "labels": labels,
        "reading": examined(settings.reading),
        "unseen_subjects": sorted({row.subject for row in rows} - trained_subjects),
        "arms": arms,
        "against_rules": {key: mcnemar(right[MODEL], right[key]) for key in right if key != MODEL},
        "laboratory": laboratories,
        "laboratory_unseen": unseen,
        "calls": dict(sorted(getattr(model, "counts", Counter()).items())),
        "gate": {"passed": not reasons, "reasons": reasons, "limits": settings.laboratory.gate.model_dump()},
        **warned(stage, warnings),
    }
    stage.out(f"metrics/verifier_report/{name}.json").write_text(
        json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8"
    )
    write_gate(stage.out(f"models/{name}/gate"), reasons, settings.reading, warnings)
    stage.say("gate: passed" if not reasons else "gate: FAILED: " + "; ".join(reasons))


def _laboratories(
    stage: Stage,
    settings: VerifierReportParams,
    judges: Mapping[str, Judge],
    cases: Sequence[Case],
    trained_subjects: Collection[str],
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Returns the attacks on the judges that are attacked, with cases of trained subjects, and those on the
    verifier with cases of the others; None where there are none.
    """
    attacked = {MODEL, *(arm.rule for arm in settings.rules if arm.attacked)}
    exact = RuleJudge(load("pipelines.rewards", settings.exact)) if settings.exact else None
    seen, unseen = (
        [case for case in cases if (case.subject in trained_subjects) is known] for known in (True, False)
    )
    results = {
        key: laboratory(judge, seen, stage.seed, exact) for key, judge in judges.items() if key in attacked
    }
    return results, laboratory(judges[MODEL], unseen, stage.seed, exact) if unseen else None


def at_chance(seen: Mapping[str, Any]) -> list[str]:
    """Returns the warning that an agreement (`agreement`) is not told apart from chance, or is worse; nothing
    where kappa's interval lies above 0.
    """
    if seen["kappa_low"] > 0:
        return []
    kappa, low, high = (f"{seen[key]:.3f}" for key in ("kappa", "kappa_low", "kappa_high"))
    return [
        f"kappa {kappa} (95 %: {low} to {high}) on held-out labels is not above chance (0): a policy would "
        f"learn from noise. Train the verifier better (more judgements, verifier.negatives), or judge more "
        f"held-out responses; verifier_report.laboratory.gate.min_kappa closes the gate"
    ]


def _judged(judge: Judge, rows: Sequence[Judgement], labels: str) -> list[JudgedAnswer]:
    """Returns the judge's answers to the rows. An error gives none; a score is a probability, except for
    rules that only say yes or no.
    """
    cases = [Case(row.question_id, row.question, row.reference, row.source, row.subject) for row in rows]
    verdicts = judge.judge(
        [Response(case, (), row.response, True) for case, row in zip(cases, rows, strict=True)]
    )
    soft = any(verdict.score not in (0.0, 1.0) for verdict in verdicts)
    return [
        JudgedAnswer(
            row.question_id,
            row.label if labels == "teacher" else row.truth or 0,
            _label(verdict),
            _probability(verdict, soft),
            row.subject,
        )
        for row, verdict in zip(rows, verdicts, strict=True)
    ]


def _label(verdict: Verdict) -> int | None:
    return None if verdict.outcome == "error" else int(verdict.outcome == "right")


def _probability(verdict: Verdict, soft: bool) -> float | None:
    return min(1.0, max(0.0, verdict.score)) if soft and verdict.outcome != "error" else None


def _agreement(
    judged: Sequence[JudgedAnswer], trained_subjects: set[str], rows: Sequence[Judgement], seed: int
) -> Mapping[str, Any]:
    """Returns the agreement on subjects of the verifier's training (`seen`), on others (`unseen`, null where
    there are none) and on each subject; of the seen ones also on policies' responses and on variants of the
    references, which are nearly right, or right in other words.
    """
    seen = [answer for answer in judged if answer.subject in trained_subjects]
    unseen = [answer for answer in judged if answer.subject not in trained_subjects]
    parts: dict[str, list[JudgedAnswer]] = {"responses": [], "variants": []}
    for answer, row in zip(judged, rows, strict=True):
        if answer.subject in trained_subjects:
            parts["variants" if row.source.endswith(VARIANT) else "responses"].append(answer)
    if not seen:
        raise ValueError(
            "no held-out response is of a subject that the verifier was trained on; look at the set's unseen "
            "subjects"
        )
    return {
        "seen": agreement(seen, seed),
        **{
            name: agreement(part, seed) if part else None
            for name, part in (*parts.items(), ("unseen", unseen))
        },
        "subjects": by_subject(judged, seed),
    }


def _cases(rows: Sequence[Judgement], variants: Mapping[str, Mapping[str, Any]], count: int) -> list[Case]:
    """Returns the questions of the held-out responses, with the further right and wrong answers that the set
    has for them.
    """
    cases: dict[str, Case] = {}
    for row in rows:
        further = variants.get(row.question_id, {})
        right, wrong = (tuple(further.get(key, ())) for key in ("right", "wrong"))
        case = Case(
            row.question_id, row.question, row.reference, row.source, row.subject, right=right, wrong=wrong
        )
        cases.setdefault(row.question_id, case)
    return spread_over_subjects(list(cases.values()), count)
