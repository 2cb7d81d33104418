"""Numbers that are not finite stop the stage, with the sample in a file to look at: a damaged gradient must
never reach the weights.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from pipelines.training.training_row import TrainingRow


class NotFinite(FloatingPointError):
    """`what` of a sample is NaN or infinite. `row` is the sample."""

    def __init__(self, what: str, row: TrainingRow, values: list[float]) -> None:
        super().__init__(f"{what} is not finite")
        self.what, self.row, self.values = what, row, values

    def dump(self, folder: Path, iteration: int) -> NotFinite:
        """Write the sample to a file in `folder`; returns the error that names step, sample and file."""
        path = folder / f"not-finite-{iteration:06d}.json"
        row = self.row
        content = {
            "what": self.what,
            "iteration": iteration,
            "question": row.question,
            "context": [list(piece) for piece in row.context],
            "ids": list(row.ids),
            "values": [str(value) for value in self.values],
            "sampler_logprobs": [str(value) for value in row.sampler_logprobs.tolist()],
            "old_logprobs": [str(value) for value in row.old_logprobs.tolist()],
            "advantages": [str(value) for value in row.advantages.tolist()],
        }
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1), "utf-8")
        self.args = (
            f"iteration {iteration}: {self.what} of a sample for {row.question} is not finite; the sample is "
            f"in {path}. The weights are "
            "those of the last checkpoint: lower the learning rate, look for a reward without bounds, or for "
            "a damaged input model",
        )
        return self


def check_finite(values: Tensor, rows: Sequence[TrainingRow], quantity: str) -> None:
    """values (N,): one per token of `rows`, in their order, or a single one of them all. Raises NotFinite
    naming the first bad sample.
    """
    if bool(torch.isfinite(values).all()):
        return
    if len(values) != sum(len(row.ids) for row in rows):
        raise NotFinite(quantity, rows[0], values.tolist())
    for row, part in zip(rows, values.detach().cpu().split([len(row.ids) for row in rows]), strict=True):
        if not bool(torch.isfinite(part).all()):
            raise NotFinite(quantity, row, part.tolist())
