"""The training engine: forward, backward, step, save, load. Plain torch for one process; another engine offers the same five methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pipelines.models.logprobs import TokenScores, score
from pipelines.models.placement import Placement
from pipelines.training.optimiser_params import OptimiserParams


class Engine(Protocol):
    """What the loops need of an engine."""

    model: Any
    placement: Placement

    def forward(self, input_ids: Tensor, response: Tensor, temperature: float = 1.0) -> TokenScores:
        """Log-probs (with gradient) and entropies of response tokens; see `pipelines.models.logprobs.score`."""

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a micro-batch's share of the loss."""

    def step(self, factor: float) -> float:
        """One update with `factor` times the peak rates; returns the gradient's norm before clipping and clears it."""

    def save(self, folder: Path) -> None:
        """Write all that `load` needs to go on to the same numbers."""

    def load(self, folder: Path) -> None:
        """Take back what `save` wrote. Raises when a file is missing or damaged."""


class TorchEngine:
    """One process, one device, float32 weights, the forward in the placement's type."""

    def __init__(self, model: Any, optimiser: OptimiserParams, placement: Placement) -> None:
        self.model = model.to(placement.device)
        self.placement = placement
        self._clip = optimiser.grad_clip
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._optimisers = optimisers(model, optimiser)
        self._groups = [group for one in self._optimisers for group in one.param_groups]
        self._peaks = [group["lr"] for group in self._groups]
        if optimiser.gradient_checkpointing:
            model.activation_checkpointing_enable()
            model.train()  # transformers checkpoints in training mode only; there is no dropout to switch on
        else:
            model.eval()

    def forward(self, input_ids: Tensor, response: Tensor, temperature: float = 1.0) -> TokenScores:
        with self.placement.autocast():
            return score(self.model, input_ids, response, temperature)

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def step(self, factor: float) -> float:
        limit = self._clip or float("inf")
        norm = float(nn.utils.clip_grad_norm_(self._parameters, limit, error_if_nonfinite=False))
        if not norm < float("inf"):
            raise FloatingPointError(f"the gradient's norm is {norm}: lower the learning rate, or look for a damaged input model")
        for group, peak in zip(self._groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        for optimiser in self._optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        return norm

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_model

        save_model(self.model, str(folder / "model.safetensors"))
        torch.save([optimiser.state_dict() for optimiser in self._optimisers], folder / "optimiser.pt")

    def load(self, folder: Path) -> None:
        from safetensors.torch import load_model

        load_model(self.model, str(folder / "model.safetensors"), device=str(self.placement.device))
        states = torch.load(folder / "optimiser.pt", map_location=self.placement.device, weights_only=True)
        for optimiser, state in zip(self._optimisers, states, strict=True):
            optimiser.load_state_dict(state)


def optimisers(model: Any, settings: OptimiserParams) -> list[torch.optim.Optimizer]:
    """AdamW over matrices and, with their own rate and no decay, one-dimensional parameters; with `kind` muon, Muon over the matrices that
    are neither embedding nor head (Jordan et al. 2024: those two have no spectral geometry of their own)."""
    ends = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    hidden = [parameter for parameter in parameters if settings.kind == "muon" and parameter.ndim == 2 and id(parameter) not in ends]
    muon = {id(parameter) for parameter in hidden}
    matrices = [parameter for parameter in parameters if parameter.ndim > 1 and id(parameter) not in muon]
    vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [
        {"params": matrices, "lr": settings.learning_rate, "weight_decay": settings.weight_decay},
        {"params": vectors, "lr": settings.vector_learning_rate or settings.learning_rate, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    made: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, betas=settings.betas, eps=settings.epsilon, fused=True)]
    if hidden:
        made.append(torch.optim.Muon(hidden, lr=settings.muon_learning_rate, weight_decay=settings.weight_decay))
    return made
