"""Preferences of a model's own samples: judged by a checker, by tests or by a reward model, and paired.

The stage that samples hands its judged prompts to `preferences`; `read` takes the same from a file, so that
samples made and judged elsewhere serve as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.pairs.sampled_params import SafetyRule, SampledParams
from pipelines.corpora.preferences.pair import Preference
from pipelines.corpora.preferences.pair_rows import Item, PairReading
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
    need. `side`: where the corpus has put the prompt; `train` is still to be split by the set's shares.
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
    """Pairs by `source.pairing`, or safety records by `source.safety`, whose samples must hold `safe` (see
    `with_safety`).

    Counts: prompts, samples, pairs, prompts_with_pairs, and what make_pairs or make_safety_pairs left out.
    """
    if source.safety is not None:
        return safety_preferences(prompts, source.safety, name, seed)
    return paired(prompts, source.pairing, name, seed)


def paired(
    prompts: Iterable[Sampled], how: PairingParams, name: str, seed: int
) -> tuple[list[Preference], Counter[str]]:
    """Plain pairs, and the counts of `preferences`."""
    found, counts = [], Counter[str](prompts=0, samples=0, pairs=0, prompts_with_pairs=0)
    for one in prompts:
        places, left_out = make_pairs(one.id, one.judged, how, seed, one.solution)
        found += [_preference(one, winner, loser, name) for winner, loser in places]
        counts += left_out
        _tally(counts, one, len(places))
    return found, counts


def safety_preferences(
    prompts: Iterable[Sampled], safety: SafetyRule, name: str, seed: int
) -> tuple[list[Preference], Counter[str]]:
    """Safety records of judged samples: `passed` gives l_h, `safe` the flags and l_s. They go through the
    merge rule and the filters like any others.
    """
    found, counts = [], Counter[str](prompts=0, samples=0, pairs=0, prompts_with_pairs=0)
    for one in prompts:
        labelled, left_out = make_safety_pairs(one.id, one.judged, safety.pairs, seed)
        for first, second, helpful, safer in labelled:
            flags = one.judged[first].safe, one.judged[second].safe
            pair = _preference(one, first, second, name)
            found.append(
                replace(pair, chosen_safe=flags[0], rejected_safe=flags[1], helpful=helpful, safer=safer)
            )
        counts += left_out
        _tally(counts, one, len(labelled))
    return found, counts


def with_safety(judged: Iterable[Judged], safety: SafetyRule) -> tuple[Judged, ...]:
    """The samples with `safe` and `harm` by the rule."""
    rule = load("pipelines.rewards", safety.rule.kind)
    return tuple(
        replace(one, safe=rule.is_safe(one.text, safety.rule), harm=float(rule.harm(one.text, safety.rule)))
        for one in judged
    )


def read(source: SampledParams, reading: PairReading) -> Iterator[Item]:
    """Rows `{id, prompt, samples: [{text, score, passed, finished?, ids?, safe?}], side?, solution?}` of
    `source.file`.
    """
    if source.file is None:
        raise ValueError(
            f"source {reading.name}: file is null, so origin is a model that must be sampled first; name a "
            f"file of judged samples"
        )
    for where, row in read_rows(reading.path(source.file), reading.ledger):
        try:
            one = _sampled(row, source)
        except BadRow as fault:
            reading.ledger.reject(where, str(fault))
            continue
        reading.ledger.accept()
        found, counts = preferences([one], source, reading.name, reading.seed)
        reading.pairing.update(counts)
        yield from (replace(preference, where=where) for preference in found)


def _tally(counts: Counter[str], one: Sampled, pairs: int) -> None:
    counts.update(prompts=1, samples=len(one.judged), pairs=pairs, prompts_with_pairs=int(pairs > 0))


def _preference(one: Sampled, winner: int, loser: int, name: str) -> Preference:
    lost = one.judged[loser]
    chosen: str
    ids: tuple[int, ...]
    meta: Mapping[str, Any]
    if winner == DATASET:
        assert one.solution is not None
        chosen, ids, meta = one.solution, (), {"from_dataset": True}
    else:
        won = one.judged[winner]
        chosen, ids, meta = won.text, won.ids, {"scores": [won.score, lost.score]}
    return Preference(
        one.prompt,
        chosen,
        lost.text,
        name,
        one.side,
        ids=(ids or None, lost.ids or None),
        meta=meta,
        conversation=one.conversation,
        finished=(winner == DATASET or one.judged[winner].finished, lost.finished),
    )


def _sampled(row: Mapping[str, Any], source: SampledParams) -> Sampled:
    samples = row.get("samples")
    if not isinstance(samples, list) or not all(isinstance(sample, Mapping) for sample in samples):
        raise BadRow("samples is no list of objects")
    judged = tuple(_judged(sample) for sample in samples)
    if source.safety is not None and any(one.safe is None for one in judged):
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
    written, score, ids = sample.get("text"), sample.get("score"), sample.get("ids", [])
    if not isinstance(written, str):
        raise BadRow("samples.text is no text")
    if isinstance(score, bool) or not isinstance(score, (int, float)):
        raise BadRow("samples.score is no number")
    if not isinstance(ids, list) or not all(type(item) is int and item >= 0 for item in ids):
        raise BadRow("samples.ids is no list of token ids")
    return Judged(
        text=written,
        ids=tuple(ids),
        score=float(score),
        passed=None if sample.get("passed") is None else flag(sample, "passed"),
        finished=flag(sample, "finished") if "finished" in sample else True,
        safe=None if sample.get("safe") is None else flag(sample, "safe"),
    )
