"""Policies and rewards as tables of (worlds, prompts, answers): one parameter a cell, or small networks on a
one-hot prompt.

The networks of all worlds are one stack of matrices, trained side by side. Adam treats every number by
itself, so each is trained as if it were alone.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from pipelines.evaluation.theory.theory_params import TheoryParams
from pipelines.evaluation.theory.world import generator


class PolicyTable(Protocol):
    """Parameters, and the outputs for every prompt."""

    parameters: list[Tensor]
    learning_rate: float

    def __call__(self) -> Tensor: ...


class Cells:
    """A logit of its own for every cell, from `start` (S, prompts, answers)."""

    def __init__(self, start: Tensor, learning_rate: float):
        self.parameters = [start.detach().clone().requires_grad_()]
        self.learning_rate = learning_rate

    def __call__(self) -> Tensor:
        return self.parameters[0]


class Networks:
    """`size` inputs -> `width` tanh -> `outputs`; weights and biases uniform in +-1/sqrt(inputs), as torch's
    Linear starts.
    """

    def __init__(self, settings: TheoryParams, outputs: int, seed: int, purpose: str):
        size, width = settings.size, settings.width
        sources = [generator(seed, world, purpose) for world in range(settings.seeds)]
        shapes = [((width, size), size), ((width,), size), ((outputs, width), width), ((outputs,), width)]
        self.parameters = [
            torch.stack(
                [_uniform(shape, 1 / math.sqrt(inputs), source) for source in sources]
            ).requires_grad_()
            for shape, inputs in shapes
        ]
        self.learning_rate = settings.learning_rate

    def __call__(self) -> Tensor:
        """Returns (S, size, outputs): the rows are the prompts, whose one-hot code selects a column of the
        first matrix.
        """
        first, bias, second, last = self.parameters
        hidden = torch.tanh(first.transpose(1, 2) + bias[:, None])
        return hidden @ second.transpose(1, 2) + last[:, None]


def _uniform(shape: tuple[int, ...], bound: float, source: torch.Generator) -> Tensor:
    return (2 * torch.rand(shape, generator=source, dtype=torch.float64) - 1) * bound
