"""TRL's side of benchmarks/peers.py: one of its trainers, set up to be fast on this machine, step by step.

What TRL's defaults would cost is switched off: evaluation, logging, checkpoints, progress bars, gradient
checkpointing, bfloat16 on a CPU, padding to multiples, a reference model. The batch split and the sampler are
the fastest of those tried by the caller.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

warnings.filterwarnings("ignore")

from datasets import Dataset  # noqa: E402
from transformers import PreTrainedTokenizerFast, PrinterCallback, TrainerCallback  # noqa: E402
from transformers.utils import logging as transformers_logging  # noqa: E402
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer  # noqa: E402

from pipelines.corpora.records.record import Record  # noqa: E402
from pipelines.models import policy  # noqa: E402
from pipelines.models.tokenizer import Tokens  # noqa: E402

Judge = Callable[[str, str, bool], float]
TRAINERS: dict[str, tuple[type, type]] = {
    "grpo": (GRPOTrainer, GRPOConfig),
    "rloo": (RLOOTrainer, RLOOConfig),
}


@dataclass(frozen=True)
class Split:
    """What is tuned: sequences of a forward and backward pass, and how TRL samples."""

    batch: int
    sampler: str  # generate | paged (transformers' continuous batching)

    def __str__(self) -> str:
        return f"{self.sampler}, micro-batches of {self.batch}"


@dataclass(frozen=True)
class Step:
    """One step's wall time, its processor time on all threads, and the tokens it sampled."""

    seconds: float
    processor: float
    tokens: int


class Clock:
    """Both times since it was made."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def step(self, tokens: int) -> Step:
        return Step(time.perf_counter() - self._wall, time.process_time() - self._processor, tokens)


class _Stopwatch(TrainerCallback):
    """Calls `between` before each step, outside of its time."""

    def __init__(self, between: Callable[[], None], counted: list[int]) -> None:
        self._between, self._counted = between, counted
        self.steps: list[Step] = []
        self._clock = Clock()

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self._between()
        self._counted.clear()
        self._clock = Clock()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.steps.append(self._clock.step(sum(self._counted)))


def steps(
    method: str,
    folder: str,
    problems: Sequence[Record],
    samples: int,
    new_tokens: int,
    learning_rate: float,
    judge: Judge,
    split: Split,
    count: int,
    scratch: str,
    between: Callable[[], None] = lambda: None,
) -> list[Step]:
    """Train the model in `folder` for `count` steps, each over `samples` responses to all `problems` with one
    optimiser step.
    """
    transformers_logging.set_verbosity_error()
    logging.disable(logging.WARNING)
    model, tokens = policy.load(folder)
    sequences = len(problems) * samples
    trainer_class, config_class = TRAINERS[method]
    counted: list[int] = []

    def reward(
        prompts: list[str],
        completions: list[str],
        completion_ids: list[list[int]],
        answer: list[str],
        **_: Any,
    ) -> list[float]:
        counted.extend(map(len, completion_ids))
        return [
            judge(text, right, ids[-1] == tokens.eos_id)
            for text, ids, right in zip(completions, completion_ids, answer, strict=True)
        ]

    config = config_class(
        output_dir=scratch,
        per_device_train_batch_size=split.batch,
        gradient_accumulation_steps=sequences // split.batch,
        num_generations=samples,
        max_completion_length=new_tokens,
        max_steps=count,
        learning_rate=learning_rate,
        lr_scheduler_type="constant",
        optim="adamw_torch_fused",
        adam_beta2=0.95,
        max_grad_norm=1.0,
        beta=0.0,
        temperature=1.0,
        use_transformers_continuous_batching=split.sampler == "paged",
        pad_to_multiple_of=None,
        shuffle_dataset=False,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=model.device.type == "cpu",
        logging_strategy="no",
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    watch = _Stopwatch(between, counted)
    trainer = trainer_class(
        model=model,
        reward_funcs=reward,
        args=config,
        train_dataset=Dataset.from_list(
            [
                {"prompt": tokens.template.prompt(record.prompt), "answer": record.answer}
                for record in problems
            ]
        ),
        processing_class=_tokenizer(tokens, problems),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return watch.steps


def _tokenizer(tokens: Tokens, problems: Sequence[Record]) -> PreTrainedTokenizerFast:
    """The model's tokenizer as transformers wants it; it must give the same prompt ids."""
    names = {number: text for text, number in tokens.specials.items()}
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokens.tokenizer,
        pad_token=names[tokens.pad_id],
        eos_token=names[tokens.eos_id],
        padding_side="left",
    )
    for record in problems:
        if made(tokens.template.prompt(record.prompt))["input_ids"] != record.prompt_ids:
            raise ValueError(f"transformers encodes the prompt of {record.id} differently")
    return made
