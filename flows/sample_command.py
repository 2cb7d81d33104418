"""`whetstone sample`: a model's responses to the prompts of a file, as JSON Lines that `whetstone judge`
reads.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from flows import api
from flows.command_line import own_stdout
from pipelines.inference.prompts import BadPrompts, PromptRow, encode_rows, read_prompts
from pipelines.rollouts.rollout_params import SamplingParams
from tasks import durable

if TYPE_CHECKING:
    from pipelines.inference.checkpoint import Checkpoint

BATCH = 256  # prompts that are answered together; what is written is flushed after each


def sample_file(
    model: str, prompts: str, target: Path | None, sampling: SamplingParams, seed: int, samples: int
) -> int:
    """Write `samples` responses to each prompt of the file `prompts` (`-`: standard input) to `target`, or to
    standard output. Returns the number of lines.

    Nothing is sampled where a row is no prompt: BadPrompts names all of them. Raises UnknownModel, and
    ValueError or OSError where the model cannot be loaded; `target` appears whole or not at all.
    """
    rows = _read(prompts)
    if target is not None and target.is_dir():
        raise ValueError(f"--out {target} is a folder; name a file in it")
    with own_stdout() as stdout:
        checkpoint = api.load(model)
        ids = encode_rows(rows, checkpoint.tokens, checkpoint.context)
        count = 0
        with _stream(target, stdout) as stream:
            for line in sampled(checkpoint, rows, ids, sampling, seed, samples):
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")
                count += 1
                if count % BATCH == 0:
                    stream.flush()
    return count


def sampled(
    checkpoint: Checkpoint,
    rows: Sequence[PromptRow],
    ids: Sequence[list[int]],
    sampling: SamplingParams,
    seed: int,
    samples: int,
) -> Iterator[dict[str, Any]]:
    """Yields the rows with their responses, in order. A response depends on its prompt's `ids`, the seed
    and its number among `samples` alone, so equal prompts get equal responses, wherever they stand.
    """
    for start in range(0, len(rows), BATCH):
        chunk = slice(start, start + BATCH)
        families = checkpoint.generate_ids(ids[chunk], sampling, seed, samples)
        for row, prompt, family in zip(rows[chunk], ids[chunk], families, strict=True):
            for number, reply in enumerate(family):
                yield {
                    **row.row,
                    "response": reply.text,
                    "sample": number,
                    "prompt_tokens": len(prompt),
                    "response_tokens": len(reply.ids),
                    "finish_reason": reply.finish,
                    "finished": reply.finished,
                }


def _read(prompts: str) -> list[PromptRow]:
    if prompts == "-":
        return read_prompts(sys.stdin.buffer, "standard input")
    try:
        with open(prompts, "rb") as stream:
            return read_prompts(stream, prompts)
    except OSError as failure:
        raise BadPrompts([f"{prompts}: {failure.strerror}"]) from failure


@contextmanager
def _stream(target: Path | None, stdout: IO[str]) -> Iterator[IO[str]]:
    """Yields what the lines go to. A file gets its name when all of them are on the disk."""
    if target is None:
        yield stdout
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8", errors="backslashreplace") as stream:
            yield stream
        durable.sync(temporary)
        durable.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
