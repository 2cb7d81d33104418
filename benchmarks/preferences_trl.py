"""TRL's side of benchmarks/preferences_peers.py: its DPOTrainer, set up to be fast on this machine, step by
step.

Reference log-probs are computed beforehand, as Whetstone's are; evaluation, logging, checkpoints, progress
bars, gradient checkpointing and bfloat16 on a CPU are off. The pairs of each batch come sorted by length, so
that its micro-batches hold little padding.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

warnings.filterwarnings("ignore")

from datasets import Dataset  # noqa: E402
from datasets.utils.logging import disable_progress_bar  # noqa: E402
from transformers import PreTrainedTokenizerFast, PrinterCallback, TrainerCallback  # noqa: E402
from transformers.utils import logging as transformers_logging  # noqa: E402
from trl import DPOConfig, DPOTrainer  # noqa: E402

from benchmarks.peers_trl import Clock, Step  # noqa: E402
from pipelines.models import policy  # noqa: E402
from pipelines.training.preference_data import AnswerPair  # noqa: E402


class _Tokenised(DPOTrainer):
    """Takes token ids as they are, so that both sides train on the same ones."""

    def _prepare_dataset(self, dataset: Any, *arguments: Any) -> Any:
        return dataset


class _Stopwatch(TrainerCallback):
    """A step's time runs from the end of the one before, so that fetching and padding its pairs count;
    `between` is outside of it.
    """

    def __init__(self, between: Callable[[], None], pairs: int) -> None:
        self._between, self._pairs = between, pairs
        self.steps: list[Step] = []
        self.losses: list[float] = []

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self._between()
        self._clock = Clock()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.steps.append(self._clock.step(self._pairs))
        self._between()
        self._clock = Clock()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        if "loss" in logs:
            self.losses.append(float(logs["loss"]))


def steps(
    folder: str,
    batches: Sequence[Sequence[AnswerPair]],
    split: int,
    learning_rate: float,
    scratch: str,
    between: Callable[[], None] = lambda: None,
    log: bool = False,
) -> tuple[list[Step], list[float]]:
    """Train the model in `folder` by DPO, one optimiser step on each of `batches`, cut into micro-batches of
    `split` pairs. Also the losses, where they are logged.
    """
    transformers_logging.set_verbosity_error()
    logging.disable(logging.WARNING)
    disable_progress_bar()
    model, tokens = policy.load(folder)
    names = {number: text for text, number in tokens.specials.items()}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokens.tokenizer,
        pad_token=names[tokens.pad_id],
        eos_token=names[tokens.eos_id],
        padding_side="right",
    )
    rows = [
        pair
        for batch in batches
        for pair in sorted(batch, key=lambda pair: len(pair.prompt) + max(map(len, pair[2:])))
    ]
    data = [
        {"prompt_ids": list(row.prompt), "chosen_ids": list(row.first), "rejected_ids": list(row.second)}
        for row in rows
    ]
    config = DPOConfig(
        output_dir=scratch,
        per_device_train_batch_size=split,
        gradient_accumulation_steps=len(batches[0]) // split,
        precompute_ref_log_probs=True,
        precompute_ref_batch_size=32,
        max_length=None,
        max_steps=len(batches),
        learning_rate=learning_rate,
        lr_scheduler_type="constant",
        train_sampling_strategy="sequential",
        optim="adamw_torch_fused",
        adam_beta2=0.95,
        max_grad_norm=1.0,
        beta=0.1,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=model.device.type == "cpu",
        logging_strategy="steps" if log else "no",
        logging_steps=1,
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    watch = _Stopwatch(between, len(batches[0]))
    trainer = _Tokenised(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(data),
        processing_class=tokenizer,
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return watch.steps, watch.losses
