"""One structure for all rollouts: a forest. A root is a prompt, every other node a segment of a response.

Flat sampling is a depth-1 tree, a chain a path with side branches, SPO's tree a tree; credit and trainer see
only this. A *state* is where a segment may start: (tree, node) stands for the end of that node, (tree, -1)
for the bare prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

State = tuple[int, int]


class Finish(StrEnum):
    """Why a segment ended."""

    EOS = "eos"  # the end token, which is the segment's last
    STOP = "stop"  # another configured stop id, likewise
    # the caller's limit of new tokens, or a boundary that the sampler laid; the response may go on in
    # children
    CAP = "cap"
    CONTEXT = "context"  # the model can hold no more

    @property
    def complete(self) -> bool:
        """Whether the model ended the response by itself: EOS or another stop token."""
        return self in (Finish.EOS, Finish.STOP)


class Completion(NamedTuple):
    """What an engine returns for one continuation: ids with the stop token, and (tokens,) float32 log-probs
    and entropies (nats).
    """

    ids: list[int]
    logprobs: Tensor
    entropy: Tensor
    finish: Finish


class Prompt(NamedTuple):
    """A problem to sample answers for: its record id, token ids, and the counter key that all its samples
    descend from.
    """

    id: str
    ids: list[int]
    key: int


@dataclass(frozen=True, slots=True)
class Node:
    """A segment. `parent` is the index of a node, or -1 when the segment continues the bare prompt `tree`.

    A `side` rollout only estimates the value of the state that it starts from: nothing continues it and
    nobody trains on it.
    """

    tree: int
    parent: int
    depth: int
    ids: list[int]
    logprobs: Tensor
    entropy: Tensor
    finish: Finish
    side: bool = False


@dataclass
class Forest:
    """Prompts and the segments grown from them, parents before children.

    `alias` leads from a state to an earlier one with the same token ids, whose side rollouts stand for both.
    `outside` holds the nodes that belong to no segment of a partition, the tokens before a response's first
    boundary: no credit is theirs. `partitioned`: responses were sampled whole and cut afterwards, so that the
    trainer's sequences are responses; else each segment is a sequence.
    """

    prompts: Sequence[Prompt]
    nodes: list[Node] = field(default_factory=list)
    alias: dict[State, State] = field(default_factory=dict)
    outside: set[int] = field(default_factory=set)
    partitioned: bool = False
    _sides: dict[State, list[int]] = field(default_factory=dict, init=False, repr=False)

    def add(self, tree: int, parent: int, completion: Completion, side: bool = False) -> int:
        """Append a continuation of node `parent` (-1: of the prompt); returns its index."""
        depth = 1 if parent < 0 else self.nodes[parent].depth + 1
        self.nodes.append(Node(tree, parent, depth, *completion, side))
        if side:
            self._sides.setdefault((tree, parent), []).append(len(self.nodes) - 1)
        return len(self.nodes) - 1

    def add_path(self, tree: int, parent: int, completion: Completion, cuts: Sequence[int]) -> list[int]:
        """Append one continuation as consecutive segments, cut before the tokens `cuts` (increasing, inside
        it); returns their indices.

        The last segment carries the completion's finish reason, those before it CAP, as if each had been
        sampled up to its boundary.
        """
        ids, logprobs, entropy, finish = completion
        edges = [0, *cuts, len(ids)]
        if any(start >= end for start, end in pairwise(edges)):
            raise ValueError(f"cuts {list(cuts)} do not increase inside a continuation of {len(ids)} tokens")
        added: list[int] = []
        for start, end in pairwise(edges):
            reason = finish if end == len(ids) else Finish.CAP
            piece = Completion(ids[start:end], logprobs[start:end], entropy[start:end], reason)
            added.append(self.add(tree, added[-1] if added else parent, piece))
        return added

    def path(self, index: int) -> list[int]:
        """Node indices from the first segment after the prompt down to `index`."""
        steps = [index]
        while self.nodes[steps[-1]].parent >= 0:
            steps.append(self.nodes[steps[-1]].parent)
        return steps[::-1]

    def context(self, index: int) -> list[int]:
        """Token ids that the segment `index` was sampled after: the prompt and its ancestors."""
        ids = list(self.prompts[self.nodes[index].tree].ids)
        for step in self.path(index)[:-1]:
            ids += self.nodes[step].ids
        return ids

    def response(self, index: int) -> list[int]:
        """Token ids of the whole response that ends with the segment `index`, without the prompt."""
        return [token for step in self.path(index) for token in self.nodes[step].ids]

    def leaves(self, side: bool | None = None) -> list[int]:
        """Nodes that no segment continues: one for each complete response. `side` True or False takes side
        rollouts only, or none.
        """
        parents = {node.parent for node in self.nodes if not node.side}
        return [
            index
            for index, node in enumerate(self.nodes)
            if index not in parents and side in (None, node.side)
        ]

    def sequences(self) -> dict[int, int]:
        """Of a partitioned forest: each node's response, named by its last segment. Else nothing: every
        segment is a sequence.
        """
        if not self.partitioned:
            return {}
        return {node: leaf for leaf in self.leaves(side=False) for node in self.path(leaf)}

    def estimates(self, state: State) -> list[int]:
        """Returns the side rollouts that estimate the value of `state`, [] when there are none."""
        return self._sides.get(self.alias.get(state, state), [])

    def children(self) -> Iterator[tuple[int, int, list[int]]]:
        """Yields (tree, parent, its children) for every prompt (parent -1) and every segment that was
        continued, without side rollouts.
        """
        families: dict[State, list[int]] = {}
        for index, node in enumerate(self.nodes):
            if not node.side:
                families.setdefault((node.tree, node.parent), []).append(index)
        for (tree, parent), members in families.items():
            yield tree, parent, members
