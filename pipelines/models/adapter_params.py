"""Parameters of low-rank adapters (LoRA, arXiv 2106.09685)."""

from __future__ import annotations

from pydantic import Field

from pipelines.settings import Settings


class AdapterParams(Settings):
    """Adapters on the named layers. There is no dropout: it would make the trainer's log-probs differ from
    the sampler's.
    """

    rank: int = Field(16, ge=1, description="rank of each adapter's two factors")
    alpha: float = Field(32.0, gt=0, description="an adapter's product is scaled by alpha / rank")
    targets: tuple[str, ...] = Field(
        ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        min_length=1,
        description="names of the linear layers that get one",
    )
