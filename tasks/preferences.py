"""The `preferences@<set>` stage: pairs from raw data, or from the judged samples of a model, split by prompt.

A round of iterative DPO is a set of samples of its start model, and a `dpo` run on them (dpo_vs_ppo.md 4.2).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.pairs.sampled import Sampled, preferences, with_safety
from pipelines.corpora.pairs.sampled_params import SampledParams
from pipelines.corpora.preferences.demonstrations import demonstrations
from pipelines.corpora.preferences.pair import write_pair_examples
from pipelines.corpora.preferences.pairing import Judged
from pipelines.corpora.preferences.preference_set import (
    PreferenceSets,
    SourceItems,
    build_preferences,
    read_source,
)
from pipelines.corpora.preferences.prompt_split import SIDES
from pipelines.corpora.records.example import Example, read_examples, write_examples
from pipelines.corpora.records.record import Record
from pipelines.corpora.records.rows_kept import rows_sentence
from pipelines.corpora.records.set_rules import SetRules
from pipelines.corpora.records.tokenised import tokenise
from pipelines.evaluation.answers import evenly_spaced
from pipelines.models import policy
from pipelines.models.conversation import Conversation
from pipelines.models.placement import Placement
from pipelines.models.tokenizer import Tokens
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.training.preference_rounds import figures, sample_and_judge
from pipelines.training.ranks import Ranks
from pipelines.training.sharded_judge import ShardedJudge
from pipelines.training.sharded_rollouts import ShardedEngine
from tasks.judge_params import NONE
from tasks.judges import make_judge
from tasks.preferences_params import PreferenceSet
from tasks.sampler import make_sampler
from tasks.sources import opener
from tasks.stage import Stage

FILES = ("sft", "rl", "validation", "heldout")  # of a corpus
# side of a set -> file of the corpus
PROMPTS: Mapping[Side, str] = {"train": "rl", "validation": "validation", "heldout": "heldout"}
# iterations of the counter keys lie below it, by the number of the draw: no other sampling of the same
# prompts has these numbers
SAMPLES = -1000
PORTION = 512  # prompts between two progress lines


@dataclass(frozen=True)
class SampledSet:
    """The result of sampling from a model: pairs, rows for people to read, and figures by side."""

    items: SourceItems
    rows: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, dict[str, float]] = field(default_factory=dict)


def run(stage: Stage) -> None:
    """Write data/<set>/pairs/{train,validation,heldout}.jsonl and responses.jsonl, and
    metrics/preferences/<set>.json; of a set that is sampled here samples.jsonl as well.

    responses.jsonl holds the labelled answers of a safety set before its filters; it is empty for other sets.
    data/<set>/records/{sft,validation}.jsonl are for supervised fine-tuning on the set.
    """
    name = stage.item
    params = stage.section(f"preferences.{name}", PreferenceSet)
    folder = stage.input(f"data/{params.data}/records")
    examples = {
        file: [] if params.data == NONE else read_examples(folder / f"{file}.jsonl") for file in FILES
    }
    source = params.source
    if isinstance(source, SampledParams) and source.file is None:
        samples = _sample(stage, params, source, examples, SetRules.read(folder))
    elif stage.first:
        origin = stage.input(params.origin)
        samples = SampledSet(read_source(name, params, origin, stage.seed, opener(stage)))
    if not stage.first:
        return  # another process writes
    prompts = {file: [example.prompt for example in rows] for file, rows in examples.items()}
    sets = build_preferences(name, params, samples.items, prompts, stage.seed)
    target = stage.out(f"data/{name}/pairs")
    target.mkdir(parents=True, exist_ok=True)
    for side in SIDES:
        write_pair_examples(target / f"{side}.jsonl", sets.pairs[side])
    write_examples(target / "responses.jsonl", sets.responses)
    params.rules.write(target)
    learnt = {
        "sft": demonstrations(sets.pairs["train"], sets.responses),
        "validation": demonstrations(sets.pairs["validation"]),
    }
    to_learn = stage.out(f"data/{name}/records")
    to_learn.mkdir(parents=True, exist_ok=True)
    for file, rows in learnt.items():
        write_examples(to_learn / f"{file}.jsonl", rows)
    params.rules.write(to_learn)
    if samples.rows:
        with open(target / "samples.jsonl", "w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in samples.rows)
    metrics = {
        **sets.metrics,
        "demonstrations": {file: len(rows) for file, rows in learnt.items()},
        "answers": dict(sorted(Counter(record.answer for record in sets.responses).items())),
        **({"samples": samples.figures} if samples.figures else {}),
    }
    stage.out(f"metrics/preferences/{name}.json").write_text(
        json.dumps(metrics, indent=1, ensure_ascii=False) + "\n", "utf-8"
    )
    _tell(stage, sets)


def _sample(
    stage: Stage,
    params: PreferenceSet,
    source: SampledParams,
    examples: Mapping[str, Sequence[Example]],
    rules: SetRules,
) -> SampledSet:
    """Returns the pairs of samples that the set's model gives on the corpus's prompts, on every rank."""
    execution = stage.execution
    placement = Placement.resolve(execution.device, execution.dtype, execution.threads)
    ranks = Ranks.join(placement)
    model, tokens = policy.load(stage.input(params.origin), trust_remote_code=execution.trust_remote_code)
    judge = ShardedJudge(make_judge(stage, source.reward, tokens, placement), ranks)
    engine: Any = make_sampler(model.to(placement.device), tokens, placement, execution)
    if ranks.size > 1:
        engine = ShardedEngine(engine, ranks)
    sampling = SamplingParams.model_validate(source.sampling.model_dump())
    problems = {
        side: evenly_spaced(_prompts(examples[PROMPTS[side]], tokens, rules, side), limit)
        for side, limit in source.prompts.items()
    }
    judge.preflight([record for records in problems.values() for record in records])
    samples = SampledSet(SourceItems([]))
    prompts: list[Sampled] = []
    total = sum(map(len, problems.values()))
    for side, records in problems.items():
        judged: list[list[Judged]] = []
        for first in range(0, len(records), PORTION):
            judged += sample_and_judge(
                engine,
                tokens,
                judge,
                records[first : first + PORTION],
                source.samples,
                sampling,
                stage.seed,
                SAMPLES - source.draw,
                source.max_error_share,
            )
            so_far = figures(judged)
            stage.progress(
                len(prompts) + len(judged), total, reward=so_far["reward"], accuracy=so_far["accuracy"]
            )
        samples.figures[side] = figures(judged)
        for record, answers in zip(records, judged, strict=True):
            prompts.append(_sampled(record, answers, side, source))
            samples.rows.append({"id": record.id, "side": side, "samples": list(map(_row, answers))})
    ranks.leave()
    pairs, counts = preferences(prompts, source, stage.item, stage.seed)
    return SampledSet(SourceItems(pairs, pairing=counts, tokens=tokens.digest), samples.rows, samples.figures)


def _prompts(examples: Sequence[Example], tokens: Tokens, rules: SetRules, side: Side) -> Sequence[Record]:
    return tokenise(examples, tokens, rules, f"prompts of {side}").records


def _sampled(record: Record, judged: Sequence[Judged], side: Side, source: SampledParams) -> Sampled:
    turns = None if record.conversation is None else Conversation.from_json(record.conversation).prompt
    safe = tuple(judged) if source.safety is None else with_safety(judged, source.safety)
    return Sampled(record.id, record.prompt, safe, side, record.response, turns)


def _row(judged: Judged) -> dict[str, Any]:
    """Returns a response for people to read; where the judge failed, it has no score."""
    score = None if judged.passed is None else judged.score
    return {"text": judged.text, "score": score, "passed": judged.passed, "finished": judged.finished}


def _tell(stage: Stage, sets: PreferenceSets) -> None:
    metrics = sets.metrics
    stage.say("pairs: " + ", ".join(f"{side} {number}" for side, number in metrics["pairs"].items()))
    stage.say(rows_sentence(metrics["rows"]))
    if metrics["pairing"]:
        counts = (f"{name.replace('_', ' ')} {value}" for name, value in metrics["pairing"].items())
        stage.say("pairing: " + ", ".join(counts))
    if sets.responses:
        stage.say(
            "labelled answers: "
            + ", ".join(f"{label} {number}" for label, number in metrics["responses"].items())
        )
