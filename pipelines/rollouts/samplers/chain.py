"""The chain sampler: flat responses, cut into segments, with independent continuations from every boundary
(spo.md 2.1).

The continuations are side rollouts: their mean reward is the boundary's value, and they are thrown away
afterwards. Responses to a prompt that begin alike share boundaries, by token ids, and so their estimates.
Responses are those that the flat sampler would draw.

Cutpoints need the probabilities of the sampling distribution (temperature included). They are taken from the
sampler: its log-probs come from the trainer's own weights, and agree with the trainer's forward within float
noise (logged each iteration).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pipelines.models.tokenizer import Tokens
from pipelines.rollouts.counter import child_key, state_key
from pipelines.rollouts.engine import RolloutEngine
from pipelines.rollouts.forest import Completion, Forest, Prompt, State
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.rollouts.samplers.options import ChainParams
from pipelines.rollouts.samplers.partition import (
    Segments,
    partition_cutpoint,
    partition_fixed,
    partition_newline,
)

FOREST = "chain"  # what it grows: responses of segments, with side rollouts at their boundaries


class Boundary(NamedTuple):
    """A state to be valued: where it is, and the response's tokens up to it."""

    state: State
    ids: list[int]


def grow(
    engine: RolloutEngine, prompts: Sequence[Prompt], settings: ChainParams, sampling: SamplingParams
) -> Forest:
    """`settings.samples` responses per prompt as paths of segments, and `settings.rollouts` side rollouts at
    every distinct boundary.

    A continuation may be as long as `sampling.max_new_tokens` leaves it after the tokens before it: the value
    is that of this response.
    """
    forest, pieces = Forest(prompts, partitioned=True), _Pieces(engine.tokens)
    keys = [[child_key(prompt.key, index) for index in range(settings.samples)] for prompt in prompts]
    boundaries: list[Boundary] = []
    known: dict[tuple[int, tuple[int, ...]], State] = {}
    for tree, completions in enumerate(engine.generate([prompt.ids for prompt in prompts], keys, sampling)):
        for completion in completions:
            for boundary in _lay(
                forest, tree, completion, _segments(completion, pieces, settings), settings.max_boundaries
            ):
                opening = (tree, tuple(boundary.ids))
                if opening not in known:
                    known[opening] = boundary.state
                    boundaries.append(boundary)
                elif known[opening] != boundary.state:  # the bare prompt is the same state in every response
                    forest.alias[boundary.state] = known[opening]
    _value(engine, forest, boundaries, settings.rollouts, sampling)
    return forest


def _segments(completion: Completion, pieces: _Pieces, settings: ChainParams) -> Segments:
    if settings.partition == "cutpoint":
        return partition_cutpoint(
            completion.logprobs.exp(), settings.rho, settings.interval, settings.first_boundary
        )
    if settings.partition == "newline":
        return partition_newline(pieces.of(completion.ids), settings.answer)
    return partition_fixed(len(completion.ids), settings.parts)


def _lay(forest: Forest, tree: int, completion: Completion, segments: Segments, limit: int) -> list[Boundary]:
    """Add a response as a path; returns its boundaries that are to be valued: the first `limit` segment
    starts, all for 0.
    """
    starts = [start for start, _ in segments]
    path = [-1, *forest.add_path(tree, -1, completion, [start for start in starts if start])]
    states = [(tree, node) for node in path]
    if not starts or starts[0]:
        forest.outside.add(path[1])
        del states[0]  # the bare prompt may be a boundary of other responses; it is none of this one
    return [
        Boundary(state, completion.ids[:start])
        for state, start in zip(states, starts[: limit or None], strict=False)
    ]


def _value(
    engine: RolloutEngine,
    forest: Forest,
    boundaries: Sequence[Boundary],
    rollouts: int,
    sampling: SamplingParams,
) -> None:
    """Add the side rollouts. Their randomness depends on the prompt's key and the tokens before them, so
    sharing changes none.
    """
    prefixes, keys, caps = [], [], []
    for (tree, _), ids in boundaries:
        prompt = forest.prompts[tree]
        key = state_key(prompt.key, ids)
        prefixes.append(prompt.ids + ids)
        keys.append([child_key(key, index) for index in range(rollouts)])
        caps.append(sampling.max_new_tokens - len(ids))
    families = engine.generate(prefixes, keys, sampling, caps)
    for ((tree, node), _), completions in zip(boundaries, families, strict=True):
        for completion in completions:
            forest.add(tree, node, completion, side=True)


class _Pieces:
    """Texts of single tokens, each decoded once."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._known: dict[int, str] = {}

    def of(self, ids: Sequence[int]) -> list[str]:
        for id in ids:
            if id not in self._known:
                self._known[id] = self._tokens.decode([id])
        return [self._known[id] for id in ids]
