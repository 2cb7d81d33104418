"""Which problems an iteration samples: those that leave room for an answer, in shuffled passes."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.corpora.records.record import Record
from pipelines.training.batches import batch_indices

UNLIMITED_ROUNDS = 1_000_000  # of one iteration where they are not limited: each draws problems of its own


class ProblemOrder:
    """Draws from `problems`; every draw depends on iteration, round and seed alone. `rounds`: of dynamic
    sampling in an iteration at most; None: not limited; 1 without it.
    """

    def __init__(self, problems: Sequence[Record], seed: int, rounds: int | None) -> None:
        self._problems, self._seed, self._rounds = problems, seed, rounds or UNLIMITED_ROUNDS

    def draw(self, iteration: int, number: int, count: int) -> list[Record]:
        """Returns the `count` problems of round `number`. Round 0 passes through all of them; further rounds
        of dynamic sampling follow a shuffle of their own.
        """
        size = len(self._problems)
        if number == 0:
            chosen = batch_indices(size, count, iteration, self._seed)
        else:
            chosen = batch_indices(size, count, iteration * self._rounds + number, self._seed + 1)
        return [self._problems[index] for index in chosen]


def fitting_problems(problems: Sequence[Record], context: int, reserved: int = 0) -> list[Record]:
    """Returns the problems whose prompt leaves room for an answer of more than `reserved` tokens in `context`
    tokens. Raises ValueError when none does.
    """
    kept = [record for record in problems if len(record.prompt_ids) + reserved < context]
    if not problems:
        raise ValueError(
            "there is no prompt to answer: the corpus' records of this side are empty; its metrics say "
            "what took them out"
        )
    if not kept:
        beside = f" beside the {reserved} tokens of the tree's inner levels" if reserved else ""
        raise ValueError(
            f"none of {len(problems)} prompts leaves room{beside} in the model's context of {context} tokens"
        )
    return kept
