"""Parameters of SafeSFT."""

from __future__ import annotations

from pipelines.training.supervised_params import SupervisedParams
from tasks.run_params import FromPairs


class SafeRun(FromPairs, SupervisedParams):
    """`sft_safe.runs.<run>`: demonstrations are the answers of the set that are labelled safe."""
