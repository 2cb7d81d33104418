"""One structure for all rollouts: a forest. A root is a prompt, every other node a segment of a response.

Flat sampling is a depth-1 tree, a chain a path with side branches, SPO's tree a tree; credit and trainer see only this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from torch import Tensor


class Finish(StrEnum):
    """Why a segment ended."""

    EOS = "eos"  # the end token, which is the segment's last
    STOP = "stop"  # another configured stop id, likewise
    CAP = "cap"  # the caller's limit of new tokens
    CONTEXT = "context"  # the model can hold no more

    @property
    def whole(self) -> bool:
        """The model ended by itself."""
        return self in (Finish.EOS, Finish.STOP)


class Completion(NamedTuple):
    """What an engine returns for one continuation: ids with the stop token, and (tokens,) float32 log-probs and entropies (nats)."""

    ids: list[int]
    logprobs: Tensor
    entropy: Tensor
    finish: Finish


class Prompt(NamedTuple):
    """A problem to sample answers for: its record id, token ids, and the counter key that all its samples descend from."""

    id: str
    ids: list[int]
    key: int


@dataclass(frozen=True, slots=True)
class Node:
    """A segment. `parent` is the index of a node, or -1 when the segment continues the bare prompt `tree`."""

    tree: int
    parent: int
    depth: int
    ids: list[int]
    logprobs: Tensor
    entropy: Tensor
    finish: Finish


@dataclass
class Forest:
    """Prompts and the segments grown from them, parents before children."""

    prompts: Sequence[Prompt]
    nodes: list[Node] = field(default_factory=list)

    def add(self, tree: int, parent: int, completion: Completion) -> int:
        """Append a continuation of node `parent` (-1: of the prompt); returns its index."""
        depth = 1 if parent < 0 else self.nodes[parent].depth + 1
        self.nodes.append(Node(tree, parent, depth, *completion))
        return len(self.nodes) - 1

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

    def leaves(self) -> list[int]:
        """Nodes that nothing continues: one for each complete response."""
        parents = {node.parent for node in self.nodes}
        return [index for index in range(len(self.nodes)) if index not in parents]

    def children(self) -> Iterator[tuple[int, int, list[int]]]:
        """(tree, parent, its children) for every prompt (parent -1) and every segment that was continued."""
        families: dict[tuple[int, int], list[int]] = {}
        for index, node in enumerate(self.nodes):
            families.setdefault((node.tree, node.parent), []).append(index)
        for (tree, parent), members in families.items():
            yield tree, parent, members
