"""Preferences between a model's own samples: judged by a checker, by tests or by a reward model, and paired.

The stage that samples passes its judged prompts to `preferences`; `read` takes the same from a file, so that
samples made and judged elsewhere can be used as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.pairs.sampled_params import SampledParams, SampledSafety
from pipelines.corpora.preferences.pair import Preference
from pipelines.corpora.preferences.pair_rows import PairItem, PairReading
from pipelines.corpora.preferences.pairing import DATASET, Judged, make_pairs, make_safety_pairs
from pipelines.corpora.preferences.pairing_params import PairingParams
from pipelines.corpora.raw.columns import BadRow, flag, one_of, text
from pipelines.corpora.raw.dialogue import conversation, prompt_turns
from pipelines.corpora.raw.rows import read_rows
from pipelines.models.conversation import Conversation
from pipelines.seams import load


@dataclass(frozen=True)
class Sampled:
    """One prompt with its judged samples. `solution`: the data set's own answer, which the code rule may
    need. `side`: the side of the prompt in the corpus; `train` is still to be split by the set's shares.
    `conversation`: the prompt as turns, where it has several.
    """

    id: str
    prompt: str
    judged: tuple[Judged, ...]
    side: Side = "train"
    solution: str | None = None
    conversation: Conversation | None = None


def preferences(
    prompts: Iterable[Sampled], source: SampledParams, name: str, seed: int
) -> tuple[list[Preference], Counter[str]]:
    """Returns pairs by `source.pairing`, or safety records by `source.safety`, whose samples must hold `safe`
    (see `with_safety`).

    Counts: prompts, samples, pairs, prompts_with_pairs, and what make_pairs or make_safety_pairs left out.
    """
    if source.safety is not None:
        return safety_preferences(prompts, source.safety, name, seed)
    return plain_preferences(prompts, source.pairing, name, seed)


def plain_preferences(
    prompts: Iterable[Sampled], pairing: PairingParams, name: str, seed: int
) -> tuple[list[Preference], Counter[str]]:
    """Returns plain pairs, and the counts of `preferences`."""
    pairs, counts = [], Counter[str](prompts=0, samples=0, pairs=0, prompts_with_pairs=0)
    for sampled in prompts:
        winners_and_losers, left_out = make_pairs(sampled.id, sampled.judged, pairing, seed, sampled.solution)
        pairs += [_preference(sampled, winner, loser, name) for winner, loser in winners_and_losers]
        counts += left_out
        _tally(counts, sampled, len(winners_and_losers))
    return pairs, counts


def safety_preferences(
    prompts: Iterable[Sampled], safety: SampledSafety, name: str, seed: int
) -> tuple[list[Preference], Counter[str]]:
    """Returns safety records of judged samples, and the counts of `preferences`: `passed` gives l_h, `safe`
    the flags and l_s. The merge rule and the filters apply to them as to any others.
    """
    records, counts = [], Counter[str](prompts=0, samples=0, pairs=0, prompts_with_pairs=0)
    for sampled in prompts:
        labelled, left_out = make_safety_pairs(sampled.id, sampled.judged, safety.pairs, seed)
        for first, second, helpful, safer in labelled:
            flags = sampled.judged[first].safe, sampled.judged[second].safe
            pair = _preference(sampled, first, second, name)
            records.append(
                replace(pair, chosen_safe=flags[0], rejected_safe=flags[1], helpful=helpful, safer=safer)
            )
        counts += left_out
        _tally(counts, sampled, len(labelled))
    return records, counts


def with_safety(judged: Iterable[Judged], safety: SampledSafety) -> tuple[Judged, ...]:
    """Returns the samples with `safe` and `harm` by the rule."""
    rule = load("pipelines.rewards", safety.rule.kind)
    return tuple(
        replace(
            sample,
            safe=rule.is_safe(sample.text, safety.rule),
            harm=float(rule.harm(sample.text, safety.rule)),
        )
        for sample in judged
    )


def read(source: SampledParams, reading: PairReading) -> Iterator[PairItem]:
    """Yields preferences of rows `{id, prompt, samples: [{text, score, passed, finished?, ids?, safe?}],
    side?, solution?}` of `source.file`.
    """
    if source.file is None:
        raise ValueError(
            f"source {reading.name}: file is null, so origin is a model that must be sampled first; name a "
            f"file of judged samples"
        )
    for where, row in read_rows(reading.path(source.file), reading.ledger):
        try:
            sampled = _sampled(row, source)
        except BadRow as fault:
            reading.ledger.reject(where, str(fault))
            continue
        reading.ledger.accept()
        pairs, counts = preferences([sampled], source, reading.name, reading.seed)
        reading.pairing.update(counts)
        yield from (replace(preference, where=where) for preference in pairs)


def _tally(counts: Counter[str], sampled: Sampled, pairs: int) -> None:
    counts.update(prompts=1, samples=len(sampled.judged), pairs=pairs, prompts_with_pairs=int(pairs > 0))


def _preference(sampled: Sampled, winner: int, loser: int, name: str) -> Preference:
    losing = sampled.judged[loser]
    chosen: str
    ids: tuple[int, ...]
    meta: Mapping[str, Any]
    if winner == DATASET:
        assert sampled.solution is not None
        chosen, ids, meta = sampled.solution, (), {"from_dataset": True}
    else:
        winning = sampled.judged[winner]
        chosen, ids, meta = winning.text, winning.ids, {"scores": [winning.score, losing.score]}
    return Preference(
        sampled.prompt,
        chosen,
        losing.text,
        name,
        sampled.side,
        ids=(ids or None, losing.ids or None),
        meta=meta,
        conversation=sampled.conversation,
        finished=(winner == DATASET or sampled.judged[winner].finished, losing.finished),
    )


def _sampled(row: Mapping[str, Any], source: SampledParams) -> Sampled:
    samples = row.get("samples")
    if not isinstance(samples, list) or not all(isinstance(sample, Mapping) for sample in samples):
        raise BadRow("samples is no list of objects")
    judged = tuple(_judged(sample) for sample in samples)
    if source.safety is not None and any(sample.safe is None for sample in judged):
        judged = with_safety(judged, source.safety)
    solution = row.get("solution")
    side: Side = one_of(row, "side", ("train", "validation", "heldout")) if "side" in row else "train"
    turns = (
        conversation(prompt_turns(row, "prompt"), "prompt", row.get("tools"))
        if isinstance(row.get("prompt"), list)
        else None
    )
    prompt = text(row, "prompt") if turns is None else turns.transcript
    return Sampled(
        text(row, "id"), prompt, judged, side, solution if isinstance(solution, str) else None, turns
    )


def _judged(sample: Mapping[str, Any]) -> Judged:
    text, score, ids = sample.get("text"), sample.get("score"), sample.get("ids", [])
    if not isinstance(text, str):
        raise BadRow("samples.text is no text")
    if isinstance(score, bool) or not isinstance(score, (int, float)):
        raise BadRow("samples.score is no number")
    if not isinstance(ids, list) or not all(type(token_id) is int and token_id >= 0 for token_id in ids):
        raise BadRow("samples.ids is no list of token ids")
    return Judged(
        text=text,
        ids=tuple(ids),
        score=float(score),
        passed=None if sample.get("passed") is None else flag(sample, "passed"),
        finished=flag(sample, "finished") if "finished" in sample else True,
        safe=None if sample.get("safe") is None else flag(sample, "safe"),
    )
