"""The training engine of several processes: DeepSpeed, ZeRO stages 0 to 3 (arXiv 1910.02054), with the
numbers of `TorchEngine`.

Weights are float32 and the forward runs in the placement's type, as there. DeepSpeed averages gradients over
ranks; here each rank's loss is multiplied by their number, so that the sum of all ranks' losses is
differentiated, whatever micro-batches they were cut into (entropy.md 8.4). Nothing is compiled: the optimiser
is torch's.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from torch import Tensor, nn

from pipelines.models import adapters
from pipelines.models.logprobs import score
from pipelines.models.placement import Placement
from pipelines.training.engine import (
    Optimisers,
    checked_norm,
    load_replica,
    make_optimisers,
    save_replica,
    set_mode,
)
from pipelines.training.options import OptimiserParams
from pipelines.training.ranks import Ranks

T = TypeVar("T")
Offload = Literal["none", "optimiser", "all"]
BUCKET = 1 << 26  # elements of the buffers that gradients travel in: 256 MB
ALIGNED = 4096  # what a buffer's size must be a multiple of
PERSISTENT = 100_000  # elements up to which stage 3 leaves a weight whole
TAG = "zero"  # name of DeepSpeed's own folder in a checkpoint


class DeepSpeedEngine:
    """One of several ranks. `zero_stage`: 0 nothing is divided among them, 1 optimiser states, 2 gradients
    too, 3 weights too.

    `offload` keeps in the host's memory: optimiser states and gradients, or with "all" (stage 3) weights as
    well.
    """

    collective = True  # every rank must take part in saving

    def __init__(
        self,
        model: Any,
        optimiser: OptimiserParams,
        placement: Placement,
        ranks: Ranks,
        zero_stage: int = 0,
        offload: Offload = "none",
        scorer: Callable[..., Any] = score,
    ) -> None:
        """Raises ValueError where the optimiser or the offloading cannot work with the stage."""
        _check(optimiser, zero_stage, offload)
        import deepspeed

        deepspeed.utils.logger.setLevel(logging.WARNING)
        # DeepSpeed's calls, one line each
        warnings.filterwarnings("ignore", message="`torch.distributed", category=FutureWarning)
        # it would be compiled at the first start
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        self.model, self.placement, self._ranks, self._scorer = model, placement, ranks, scorer
        model.to(placement.device)
        set_mode(model, optimiser)
        self._stage = zero_stage
        self._optimiser = (
            Optimisers(model, optimiser) if zero_stage == 0 else make_optimisers(model, optimiser)[0]
        )
        self._peaks = [group["lr"] for group in self._optimiser.param_groups]
        size = sum(parameter.numel() for parameter in model.parameters())
        bucket = min(BUCKET, -(-size // ALIGNED) * ALIGNED)
        self._engine = deepspeed.initialize(
            model=_Applied(model, placement),
            optimizer=self._optimiser,
            config=_config(zero_stage, offload, optimiser.grad_clip, bucket, placement.device.type == "cuda"),
        )[0]
        self._engine.train(model.training)

    def apply(self, function: Callable[..., T], *arguments: Any) -> T:
        return self._engine(function, *arguments)

    def forward(self, *arguments: Any) -> Any:
        return self.apply(self._scorer, *arguments)

    def backward(self, loss: Tensor) -> None:
        self._engine.backward(loss * self._ranks.size)

    def step(self, factor: float) -> float:
        for group, peak in zip(self._optimiser.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        self._engine.step()
        return checked_norm(
            self._optimiser.norm
            if isinstance(self._optimiser, Optimisers)
            else float(self._engine.get_global_grad_norm())
        )

    def zero_grad(self) -> None:
        held = self._engine.optimizer
        held.zero_grad()
        if self._stage in (1, 2):  # what was reduced already stands here; stage 3 overwrites it
            for kept in (held.averaged_gradients, held.all_grad_tensors):
                kept.update(dict.fromkeys(kept))
            held.micro_step_id, held._offload_accumulated_param_ids = -1, set()  # as after a step

    def gathered(self) -> AbstractContextManager[Any]:
        return self._gathered_parameters() if self._stage == 3 else adapters.merged(self.model)

    @contextmanager
    def _gathered_parameters(self) -> Iterator[Any]:
        """Yields with all weights on every rank. Stage 3's hooks are off meanwhile; they would partition each
        layer again right after it has run.
        """
        import deepspeed

        divider = self._engine.optimizer.parameter_offload
        for hooks in (divider.forward_hooks, divider.backward_hooks):
            for hook in hooks:
                hook.remove()
            hooks.clear()
        parameters = list(self.model.parameters())
        for parameter in parameters:
            parameter.ds_active_sub_modules.clear()
        try:
            with deepspeed.zero.GatheredParameters(parameters), adapters.merged(self.model):
                yield self.model
        finally:
            divider._register_deepspeed_module(divider.module)

    def save(self, folder: Path) -> None:
        if self._stage:
            self._engine.save_checkpoint(
                str(folder),
                tag=TAG,
                save_latest=False,
                exclude_frozen_parameters=adapters.present(self.model),
            )
        elif self._ranks.is_first:
            assert isinstance(self._optimiser, Optimisers)
            save_replica(self.model, self._optimiser, folder)
        self._ranks.barrier()

    def load(self, folder: Path) -> None:
        if not self._stage:
            assert isinstance(self._optimiser, Optimisers)
            load_replica(self.model, self._optimiser, folder, self.placement.device)
        elif (
            self._engine.load_checkpoint(
                str(folder), tag=TAG, load_module_strict=not adapters.present(self.model)
            )[0]
            is None
        ):
            raise FileNotFoundError(
                f"{folder / TAG} is no checkpoint of ZeRO stage {self._stage} with {self._ranks.size} "
                f"processes"
            )


class _Applied(nn.Module):
    """DeepSpeed's engine runs one module; this one runs any function of the model."""

    def __init__(self, model: Any, placement: Placement) -> None:
        super().__init__()
        self.model, self._placement = model, placement

    def forward(self, function: Callable[..., T], *arguments: Any) -> T:
        with self._placement.autocast():
            return function(self.model, *arguments)


def _check(optimiser: OptimiserParams, zero_stage: int, offload: Offload) -> None:
    if optimiser.kind == "muon" and zero_stage:
        raise ValueError(
            f"optimiser.kind muon needs whole matrices, which ZeRO stage {zero_stage} divides among "
            f"processes: "
            "set execution.zero_stage to 0, or kind to adamw"
        )
    least = {"none": 0, "optimiser": 1, "all": 3}[offload]
    if zero_stage < least:
        raise ValueError(f"execution.offload {offload} needs zero_stage {least} or more, not {zero_stage}")


def _config(zero_stage: int, offload: Offload, grad_clip: float, bucket: int, on_gpu: bool) -> dict[str, Any]:
    """DeepSpeed's configuration. Accumulation is not managed: a step ends where `step` is called, after any
    number of backward passes.
    """
    zero: dict[str, Any] = {
        "stage": zero_stage,
        "overlap_comm": on_gpu and zero_stage >= 2,
        "reduce_bucket_size": bucket,
        "allgather_bucket_size": bucket,
        "stage3_prefetch_bucket_size": bucket,
        "stage3_param_persistence_threshold": PERSISTENT,
    }
    if offload != "none":
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": on_gpu}
    if offload == "all":
        zero["offload_param"] = {"device": "cpu", "pin_memory": on_gpu}
    return {
        # what it counts samples with; the loops cut their batches themselves
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,
        "gradient_clipping": grad_clip if zero_stage else 0.0,  # stage 0 clips in `Optimisers`
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "zero_optimization": zero,
    }
