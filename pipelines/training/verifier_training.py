"""Distil a verifier: judgements -> demonstrations of one label after the judge's prompt; then one temperature
on calibration data.

The loop is that of supervised fine-tuning: the prompt is masked, the label and the end token carry the loss
(reward_bridge.md 4.2).
"""

from __future__ import annotations

import random
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.corpora.records.judgement import Judgement
from pipelines.evaluation.calibration import temperature
from pipelines.rewards.generative.prompt import final_step
from pipelines.rewards.generative.reading import LabelProbabilities, soft_reward
from pipelines.rewards.generative.verifier_judge import JudgeQuery
from pipelines.rewards.models.verifier import VerifierPrompt
from pipelines.training.verifier_params import NegativesParams

CHARACTERS = string.ascii_letters + string.digits + " .,:;-_*{}()<>|`#=+"
EDGE = 1e-6  # probabilities nearer to 0 or 1 than this have log-odds that float32 does not hold


@dataclass(frozen=True)
class VerifierExample:
    """What supervised.Demonstrations reads of a record."""

    prompt_ids: list[int]
    response_ids: list[int]


def ask_of(judgement: Judgement) -> JudgeQuery:
    """Returns the query by which a verifier judges the response: question, reference and final step."""
    return JudgeQuery(judgement.question, judgement.reference, final_step(judgement.response))


def examples(
    judgements: Sequence[Judgement], asking: VerifierPrompt, context: int
) -> tuple[list[VerifierExample], Counter[str]]:
    """Prompt ids and label ids of each judgement that can be asked, and how many cannot, by reason. `context`
    is the model's.
    """
    reasons: Counter[str] = Counter()
    examples = []
    for judgement in judgements:
        ask = ask_of(judgement)
        # - 1: the end token follows the label
        ids = asking.ids(ask, context - 1) if ask.candidate else "the response is empty"
        if isinstance(ids, str):
            reasons[ids] += 1
            continue
        label = (asking.labels.positive if judgement.label else asking.labels.negative)[0]
        cut = len(ids) - len(asking.lead)
        examples.append(VerifierExample(list(ids[:cut]), [*asking.lead, label, asking.tokens.end_id]))
    return examples, reasons


def with_negatives(
    judgements: Sequence[Judgement], shares: NegativesParams, seed: int
) -> tuple[list[Judgement], Counter[str]]:
    """Returns the judgements with generated negatives in a seeded order, and the number of negatives of each
    kind.
    """
    generator = random.Random(f"negatives\x00{seed}")
    makers = {
        "openings": (shares.openings, _openings),
        "others": (shares.others, _others),
        "lists": (shares.lists, _lists),
        "echoes": (shares.echoes, _echoes),
        "noise": (shares.noise, _noise),
        "swaps": (shares.swaps, _swaps),
    }
    counts: Counter[str] = Counter()
    rows = list(judgements)
    for kind, (share, make) in makers.items():
        wanted = round(share * len(judgements))
        for judgement, text in _some(make, judgements, wanted, generator):
            counts[kind] += 1
            rows.append(
                replace(
                    judgement,
                    id=f"{judgement.id}:{kind}{counts[kind]}",
                    response=text,
                    label=0,
                    teacher=kind,
                    truth=0,
                    probability=None,
                )
            )
    for judgement in generator.sample(list(judgements), round(shares.capitals * len(judgements))):
        counts["capitals"] += 1
        text = final_step(judgement.response).upper()
        rows.append(
            replace(
                judgement,
                id=f"{judgement.id}:capitals",
                response=text,
                teacher="capitals",
                truth=None,
                probability=None,
            )
        )
    generator.shuffle(rows)
    return rows, counts


def fit_temperature(readings: Sequence[LabelProbabilities | str], labels: Sequence[int]) -> float:
    """Returns the temperature of the log-odds with the largest likelihood on calibration data; 1 where there
    is none (all right, or nothing read).
    """
    margins = []
    for reading, label in zip(readings, labels, strict=True):
        if isinstance(reading, str) or not reading.finite:
            continue
        probability = min(max(soft_reward(reading), EDGE), 1 - EDGE)
        odds = float(np.log(probability / (1 - probability)))
        margins.append(odds if label else -odds)
    return (temperature(np.array(margins)) if margins else None) or 1.0


Maker = Callable[[Judgement, Sequence[Judgement], random.Random], str | None]


def _some(
    make: Maker, judgements: Sequence[Judgement], wanted: int, generator: random.Random
) -> Iterator[tuple[Judgement, str]]:
    """Yields up to `wanted` judgements, each with a generated last line that is not the reference, from at
    most ten times as many tries.
    """
    for _ in range(10 * wanted):
        if wanted <= 0:
            return
        judgement = generator.choice(judgements)
        text = make(judgement, judgements, generator)
        if text and _bare(text) != _bare(judgement.reference):
            wanted -= 1
            yield judgement, text


def _openings(judgement: Judgement, _: Sequence[Judgement], __: random.Random) -> str | None:
    lines = [line.strip() for line in judgement.response.splitlines() if line.strip()]
    return lines[0] if len(lines) > 1 else None


def _others(judgement: Judgement, all_of_them: Sequence[Judgement], generator: random.Random) -> str | None:
    other = generator.choice(all_of_them)
    return other.reference if other.subject == judgement.subject else None


def _lists(judgement: Judgement, all_of_them: Sequence[Judgement], generator: random.Random) -> str | None:
    items = list(
        dict.fromkeys([judgement.reference, *(generator.choice(all_of_them).reference for _ in range(2))])
    )
    generator.shuffle(items)
    return ", ".join(items) if len(items) > 1 else None


def _echoes(judgement: Judgement, _: Sequence[Judgement], __: random.Random) -> str | None:
    return judgement.question.splitlines()[-1]


def _noise(judgement: Judgement, all_of_them: Sequence[Judgement], generator: random.Random) -> str | None:
    kind = generator.random()
    if kind < 0.25:
        number = generator.randint(0, generator.choice((9, 99)))
        return str(number) if number != 1 else None  # an attack of the laboratory
    if kind < 0.5:
        text = "".join(generator.choices(CHARACTERS, k=generator.randint(1, 12))).strip()
        return None if text == "1" else text
    words = [
        word
        for source in (judgement, generator.choice(all_of_them))
        for word in f"{source.question} {source.reference}".split()
    ]
    generator.shuffle(words)
    return " ".join(words[: generator.randint(1, 6)])


def _swaps(judgement: Judgement, all_of_them: Sequence[Judgement], generator: random.Random) -> str | None:
    """Returns a right answer in other words than the reference's, with one of the reference's words replaced
    by that of another reference; None where there is no such word.
    """
    other = generator.choice(all_of_them)
    text = final_step(judgement.response)
    words, foreign = _bare(judgement.reference).split(), _bare(other.reference).split()
    if (
        not judgement.label
        or other.subject != judgement.subject
        or len(words) != len(foreign)
        or _bare(text) == _bare(judgement.reference)
    ):
        return None
    places = [
        place
        for place, word in enumerate(words)
        if word != foreign[place] and re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE)
    ]
    if not places:
        return None
    place = generator.choice(places)
    originals = {word.casefold(): word for word in re.findall(r"\w+", other.reference)}
    return re.sub(
        rf"\b{re.escape(words[place])}\b",
        lambda _: originals.get(foreign[place], foreign[place]),
        text,
        flags=re.IGNORECASE,
    )


def _bare(text: str) -> str:
    return " ".join(text.casefold().strip(" .").split())
