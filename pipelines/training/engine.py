"""The training engine: forward, backward, step, save, load. `TorchEngine` serves one process,
`DeepSpeedEngine` several; both offer the same methods, and the loops cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from pipelines.models import adapters
from pipelines.models.logprobs import score
from pipelines.models.placement import Placement
from pipelines.training.options import OptimiserParams

T = TypeVar("T")


class Engine(Protocol):
    """What the loops need of an engine.

    With several ranks every method is collective: all ranks call it, in the same order and equally often. A
    rank that has no micro-batch left for a turn runs a short one and adds nothing: `engine.backward(0 *
    result.sum())`.
    """

    model: Any
    placement: Placement

    def apply(self, function: Callable[..., T], *arguments: Any) -> T:
        """function(model, *arguments), in the forward's precision: a tensor or a (named) tuple of tensors.
        The one way to run the model while it trains. Two calls need not pass the same function; all ranks of
        one call must.
        """

    def forward(self, *arguments: Any) -> Any:
        """`apply` of the scorer that the engine was made with. Default is `pipelines.models.logprobs.score`:
        (input_ids, response, temperature) -> log-probs (with gradient) and entropies of response tokens; a
        critic is trained with a scorer of its own.
        """

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a micro-batch's share of the loss, a scalar. What is differentiated is the sum
        of the shares, over all micro-batches and ranks: divide by the whole batch's denominator before.
        """

    def step(self, factor: float) -> float:
        """One update with `factor` times the peak rates; returns the gradient's norm before clipping and
        clears it.

        FloatingPointError when the norm is not finite: the weights are then as before.
        """

    def zero_grad(self) -> None:
        """Drop the gradient that was added since the last step."""

    def gathered(self) -> AbstractContextManager[Any]:
        """Inside, `model` (also what the context gives) is whole and plain on every rank: its weights can be
        read and it can be called without the others, for sampling or saving; adapters are merged. No `apply`
        inside, and changes to it are lost.
        """

    def save(self, folder: Path) -> None:
        """Write all that `load` needs to go on to the same numbers. `folder` is one that every rank sees."""

    def load(self, folder: Path) -> None:
        """Take back what `save` wrote. Raises when a file is missing or damaged."""


class TorchEngine:
    """One process, one device, float32 weights, the forward in the placement's type."""

    def __init__(
        self, model: Any, optimiser: OptimiserParams, placement: Placement, scorer: Callable[..., Any] = score
    ) -> None:
        self.model = model.to(placement.device)
        self.placement, self._scorer = placement, scorer
        self._optimiser = Optimisers(model, optimiser)
        set_mode(model, optimiser)

    def apply(self, function: Callable[..., T], *arguments: Any) -> T:
        with self.placement.autocast():
            return function(self.model, *arguments)

    def forward(self, *arguments: Any) -> Any:
        return self.apply(self._scorer, *arguments)

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def step(self, factor: float) -> float:
        self._optimiser.set_learning_rates(factor)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return self._optimiser.norm

    def zero_grad(self) -> None:
        self._optimiser.zero_grad(set_to_none=True)

    def gathered(self) -> AbstractContextManager[Any]:
        return adapters.merged(self.model)

    def save(self, folder: Path) -> None:
        save_replica(self.model, self._optimiser, folder)

    def load(self, folder: Path) -> None:
        load_replica(self.model, self._optimiser, folder, self.placement.device)


class Optimisers(torch.optim.Optimizer):
    """Several optimisers as one: clips the norm of the whole gradient, then takes each one's step.
    `norm` is the last one's.
    """

    def __init__(self, model: Any, settings: OptimiserParams) -> None:
        self._parts = make_optimisers(model, settings)
        self.norm = 0.0
        self._limit = settings.grad_clip or float("inf")
        self._trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        super().__init__(self._trained, {})
        self.param_groups = [group for part in self._parts for group in part.param_groups]
        self._peaks = [group["lr"] for group in self.param_groups]

    def set_learning_rates(self, factor: float) -> None:
        """Set every rate to `factor` times its peak."""
        for group, peak in zip(self.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        self.norm = checked_norm(
            float(nn.utils.clip_grad_norm_(self._trained, self._limit, error_if_nonfinite=False))
        )
        for part in self._parts:
            part.step()

    def state_dict(self) -> list[dict[str, Any]]:  # type: ignore[override]
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:  # type: ignore[override]
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self._parts for group in part.param_groups]


def make_optimisers(model: Any, settings: OptimiserParams) -> list[torch.optim.Optimizer]:
    """Returns AdamW over matrices and, with their own rate and no decay, one-dimensional parameters; with
    `kind` muon, Muon over the matrices that are neither embedding nor head (Jordan et al. 2024: those two
    have no spectral geometry of their own).
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    ends = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    head = getattr(model, "get_output_embeddings", lambda: None)()
    if head is not None:
        ends.add(id(head.weight))
    inner = [
        parameter
        for parameter in parameters
        if parameter.ndim == 2 and min(parameter.shape) > 1 and id(parameter) not in ends
    ]
    hidden = inner if settings.kind == "muon" else []
    muon = {id(parameter) for parameter in hidden}
    matrices = [parameter for parameter in parameters if parameter.ndim > 1 and id(parameter) not in muon]
    vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [
        {"params": matrices, "lr": settings.learning_rate, "weight_decay": settings.weight_decay},
        {
            "params": vectors,
            "lr": settings.vector_learning_rate or settings.learning_rate,
            "weight_decay": 0.0,
        },
    ]
    groups = [group for group in groups if group["params"]]
    optimisers: list[torch.optim.Optimizer] = []
    if groups:
        optimisers.append(torch.optim.AdamW(groups, betas=settings.betas, eps=settings.epsilon, fused=True))
    if hidden:
        optimisers.append(
            torch.optim.Muon(hidden, lr=settings.muon_learning_rate, weight_decay=settings.weight_decay)
        )
    return optimisers


def set_mode(model: Any, settings: OptimiserParams) -> None:
    """Gradient checkpointing as configured; otherwise evaluation mode, as there is no dropout."""
    if settings.gradient_checkpointing:
        model.activation_checkpointing_enable()
        model.train()  # transformers checkpoints in training mode only; there is no dropout to switch on
    else:
        model.eval()


def checked_norm(norm: float) -> float:
    """Returns `norm`. Raises FloatingPointError where it is not finite."""
    if not 0 <= norm < float("inf"):
        raise FloatingPointError(
            f"the gradient's norm is {norm}: lower the learning rate, or look for a damaged input model"
        )
    return norm


def save_replica(model: Any, optimiser: Optimisers, folder: Path) -> None:
    """model.safetensors, of trained weights alone where some are frozen (adapters), and optimiser.pt."""
    from safetensors.torch import save_file, save_model

    if all(parameter.requires_grad for parameter in model.parameters()):
        save_model(model, str(folder / "model.safetensors"))
    else:
        trained = {
            name: parameter.detach()
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }
        save_file(trained, str(folder / "model.safetensors"))
    torch.save(optimiser.state_dict(), folder / "optimiser.pt")


def load_replica(model: Any, optimiser: Optimisers, folder: Path, device: torch.device) -> None:
    """Loads what `save_replica` wrote into a model and an optimiser made with the same settings. Raises when
    a file or a name is missing.
    """
    from safetensors.torch import load_file, load_model

    if all(parameter.requires_grad for parameter in model.parameters()):
        load_model(model, str(folder / "model.safetensors"), device=str(device))
    else:
        trained = load_file(str(folder / "model.safetensors"), device=str(device))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(trained[name])
    optimiser.load_state_dict(torch.load(folder / "optimiser.pt", map_location=device, weights_only=True))
