"""The `preferences@<set>` stage: pairs from raw data, or from the judged samples of a model, split by prompt
and tokenised.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.corpora.pair import write_pairs
from pipelines.corpora.pairs.sampled import Sampled, preferences, with_safety
from pipelines.corpora.pairs.sampled_params import SampledParams
from pipelines.corpora.preferences import Found, PreferenceSets, build_preferences, read_source
from pipelines.corpora.prompt_split import SIDES
from pipelines.corpora.record import Record, read_records, write_records
from pipelines.corpora.rows_kept import sentence
from pipelines.corpora.split import Side
from pipelines.evaluation.answers import evenly_spaced
from pipelines.models import policy
from pipelines.models.conversation import Conversation
from pipelines.models.placement import Placement
from pipelines.models.tokenizer import Tokens
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.training.preference_rounds import figures, sample_and_judge
from tasks.judges import make_judge
from tasks.preferences_params import PreferenceSet
from tasks.sampler import make_sampler
from tasks.sources import opener
from tasks.stage import Stage

FILES = ("sft", "rl", "validation", "heldout")  # of a corpus
# side of a set -> file of the corpus
PROMPTS: Mapping[Side, str] = {"train": "rl", "validation": "validation", "heldout": "heldout"}
SAMPLES = -1000  # the iteration of the counter keys: no other sampling of the same prompts has its numbers


def run(stage: Stage) -> None:
    """Write data/<set>/pairs/{train,validation,heldout}.jsonl and responses.jsonl, and
    metrics/preferences/<set>.json.

    responses.jsonl holds the labelled answers of a safety set before its filters, and nothing elsewhere.
    """
    name = stage.item
    params = stage.section(f"preferences.{name}", PreferenceSet)
    folder, tokens = (
        stage.input(f"data/{params.data}/records"),
        Tokens.load(stage.input(f"data/{params.data}/tokenizer")),
    )
    records = {file: read_records(folder / f"{file}.jsonl") for file in FILES}
    origin = stage.input(params.origin)
    source = params.source
    if isinstance(source, SampledParams) and source.file is None:
        found = _sample(stage, source, origin, tokens, records)
    else:
        found = read_source(name, params, origin, stage.seed, opener(stage))
    prompts = {file: [record.prompt for record in rows] for file, rows in records.items()}
    sets = build_preferences(name, params, found, tokens, prompts, stage.seed)
    target = stage.out(f"data/{name}/pairs")
    target.mkdir(parents=True, exist_ok=True)
    for side in SIDES:
        write_pairs(target / f"{side}.jsonl", sets.pairs[side])
    write_records(target / "responses.jsonl", sets.responses)
    stage.out(f"metrics/preferences/{name}.json").write_text(
        json.dumps(sets.metrics, indent=1, ensure_ascii=False) + "\n", "utf-8"
    )
    _tell(stage, sets)


def _sample(
    stage: Stage, source: SampledParams, origin: Path, tokens: Tokens, records: Mapping[str, Sequence[Record]]
) -> Found:
    """Pairs of the samples of the model at `origin` on the corpus's prompts."""
    execution = stage.execution
    placement = Placement.resolve(execution.device, execution.dtype, execution.threads)
    model, _ = policy.load(origin, tokens, execution.trust_remote_code)
    judge = make_judge(stage, source.reward, tokens, placement)
    engine = make_sampler(model.to(placement.device), tokens, placement, execution)
    sampling = SamplingParams.model_validate(source.sampling.model_dump())
    prompts: list[Sampled] = []
    for done, (side, limit) in enumerate(source.prompts.items(), 1):
        problems = evenly_spaced(records[PROMPTS[side]], limit)
        found = sample_and_judge(
            engine,
            tokens,
            judge,
            problems,
            source.samples,
            sampling,
            stage.seed,
            SAMPLES,
            source.max_error_share,
        )
        for record, own in zip(problems, found, strict=True):
            judged = tuple(own) if source.safety is None else with_safety(own, source.safety)
            turns = (
                None if record.conversation is None else Conversation.from_json(record.conversation).prompt
            )
            prompts.append(Sampled(record.id, record.prompt, judged, side, record.response, turns))
        stage.progress(done, len(source.prompts), prompts=len(problems), accuracy=figures(found)["accuracy"])
    pairs, counts = preferences(prompts, source, stage.item, stage.seed)
    return Found(pairs, {}, {}, counts)


def _tell(stage: Stage, sets: PreferenceSets) -> None:
    metrics = sets.metrics
    stage.say("pairs: " + ", ".join(f"{side} {number}" for side, number in metrics["pairs"].items()))
    stage.say(sentence(metrics["rows"]))
    if sets.responses:
        stage.say(
            "labelled answers: "
            + ", ".join(f"{label} {number}" for label, number in metrics["responses"].items())
        )
