"""Liger's fused Triton kernels (norms, rotary, gated MLP) in a transformers model, on a GPU and where the
package is installed.

Its fused losses are left out: log-probs here are made by chunks at response positions only
(`logprobs.by_chunks`).
"""

from __future__ import annotations

from typing import Any

from pipelines.models.placement import Placement


def use_liger(model: Any, placement: Placement) -> None:
    """Replace the forwards of `model`'s modules in place; weights and names stay.

    Raises ValueError without a GPU, ImportError with advice without the package, ValueError for an
    architecture that Liger does not know.
    """
    if placement.device.type != "cuda":
        raise ValueError("execution.liger needs a GPU: its kernels are Triton's; set liger: false")
    try:
        from liger_kernel.transformers import _apply_liger_kernel_to_instance as apply
        from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN as KNOWN
    except ImportError as error:
        raise ImportError(
            "execution.liger: liger-kernel is not installed; `pip install liger-kernel`, or set liger: false"
        ) from error
    if model.config.model_type not in KNOWN:
        raise ValueError(
            f"execution.liger: Liger has no kernels for {model.config.model_type}; it knows "
            f"{', '.join(sorted(KNOWN))}"
        )
    apply(model=model, cross_entropy=False, fused_linear_cross_entropy=False)
