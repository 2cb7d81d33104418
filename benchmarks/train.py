"""The update: packed with shared prompts against padded batches, and what share of the machine's GEMM rate
each reaches.

    python -m benchmarks.train [--sizes 0.4M 1M 5M] [--threads 2] [--rounds 5] [--json FILE]

One process, the contestants in turns, best of `rounds`; a pass is forward and backward over all rows,
micro-batch by micro-batch, without the optimiser's step. Times are CPU seconds over threads, which other jobs
on the machine disturb less than the clock; `--wall` takes the clock. Tokens are those of all rows with their
prompts, each row counted alone: what a padded batch holds without its padding. The limit is 6 N tokens at the
rate of the model's own matrix shapes, measured between the passes; a packed pass can exceed what its share
says, as it computes fewer tokens.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from pipelines.models.logprobs import of_logits, score  # noqa: E402
from pipelines.models.packing import Segment, cut, pack, score_packed  # noqa: E402

# width, inner, layers, heads, key heads
SIZES = {"0.4M": (128, 256, 3, 4, 1), "1M": (192, 512, 3, 6, 2), "5M": (256, 704, 6, 8, 4)}
VOCABULARY = 64


class MicroBatch(NamedTuple):
    """input_ids (B, S) right padded; response (B, S) bool, true where tokens carry a log-prob."""

    rows: list[int]
    input_ids: torch.Tensor
    response: torch.Tensor


def cut_padded(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """lengths of sequences -> groups of their indices such that rows times longest row is at most `budget`
    (or one row alone).

    Sequences of like length share a group, so little is padded.
    """
    groups: list[list[int]] = []
    # the longest first: a memory error comes at once
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if groups and (len(groups[-1]) + 1) * lengths[groups[-1][0]] <= budget:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def collate(
    rows: list[int], ids: Sequence[list[int]], prompts: Sequence[int], pad_id: int, device: torch.device
) -> MicroBatch:
    """The padded batch that packing is compared with. ids: all sequences (prompt and response); prompts:
    their prompt lengths.
    """
    width = max(len(ids[row]) for row in rows)
    padded = torch.tensor([ids[row] + [pad_id] * (width - len(ids[row])) for row in rows])
    starts = torch.tensor([prompts[row] for row in rows])[:, None]
    ends = torch.tensor([len(ids[row]) for row in rows])[:, None]
    columns = torch.arange(width)
    return MicroBatch(rows, padded.to(device), ((columns >= starts) & (columns < ends)).to(device))


def build(size: str) -> Any:
    """A qwen2 model with random weights."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    width, inner, layers, heads, groups = SIZES[size]
    torch.manual_seed(0)
    shape = {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
    }
    more = {"num_key_value_heads": groups, "max_position_embeddings": 512, "tie_word_embeddings": True}
    return Qwen2ForCausalLM(Qwen2Config(vocab_size=VOCABULARY, **shape, **more)).eval()


def rows(prompts: int, samples: int) -> list[Segment]:
    """Prompts of 12-24 tokens, answers of 10-50, some at a limit of 64: mixed, as a policy answers."""
    draw = random.Random(0)
    found = []
    for _ in range(prompts):
        prompt = tuple(draw.choices(range(4, VOCABULARY), k=draw.randint(12, 24)))
        for _ in range(samples):
            count = 64 if draw.random() < 0.05 else draw.randint(10, 50)
            found.append(Segment((prompt,), tuple(draw.choices(range(4, VOCABULARY), k=count))))
    draw.shuffle(found)
    return found


def packed(model: Any, data: list[Segment], budget: int) -> Callable[[], None]:
    """Whetstone's pass; cutting and packing are part of it."""

    def run() -> None:
        for group in cut(data, budget):
            score_packed(
                model, pack([data[index] for index in group]), entropy=False
            ).logprobs.sum().backward()

    return run


def padded(model: Any, data: list[Segment], budget: int) -> Callable[[], None]:
    """Rows of like length together, right padded, the head on answers alone."""
    ids, starts = [list(row.context[0] + row.ids) for row in data], [len(row.context[0]) for row in data]

    def run() -> None:
        for group in cut_padded([len(sequence) for sequence in ids], budget):
            micro = collate(group, ids, starts, 0, torch.device("cpu"))
            score(model, micro.input_ids, micro.response, entropy=False).logprobs.sum().backward()

    return run


def longest(model: Any, data: list[Segment], count: int) -> Callable[[], None]:
    """As TRL lays a batch out: prompts padded left, answers right, to the longest of the whole batch, with an
    attention mask; `count` rows at a time in the order they come; the head on the answers' columns, entropies
    always.
    """
    wide, tall = max(len(row.context[0]) for row in data), max(len(row.ids) for row in data)
    ids, mask = (
        torch.zeros(len(data), wide + tall, dtype=torch.long),
        torch.zeros(len(data), wide + tall, dtype=torch.long),
    )
    for index, row in enumerate(data):
        start, end = wide - len(row.context[0]), wide + len(row.ids)
        ids[index, start:end] = torch.tensor(row.context[0] + row.ids)
        mask[index, start:end] = 1

    def run() -> None:
        for part, seen in zip(ids.split(count), mask.split(count), strict=True):
            logits = model(
                input_ids=part, attention_mask=seen, use_cache=False, logits_to_keep=tall + 1
            ).logits[:, :-1]
            scores = of_logits(logits.flatten(0, 1), part[:, wide:].flatten(), 1.0)
            (scores.logprobs * seen[:, wide:].flatten()).sum().backward()

    return run


def products(model: Any, tokens: int) -> tuple[Callable[[], None], float]:
    """The three products of every linear layer's forward and backward, for `tokens` tokens, and their
    floating-point operations.
    """
    layers = [module.weight.detach() for module in model.modules() if isinstance(module, torch.nn.Linear)]
    inputs = {width: torch.randn(tokens, width) for weight in layers for width in weight.shape}

    def run() -> None:
        for weight in layers:
            outer, inner = inputs[weight.shape[0]], inputs[weight.shape[1]]
            torch.nn.functional.linear(inner, weight)
            outer @ weight
            outer.t() @ inner

    return run, 6.0 * tokens * sum(weight.numel() for weight in layers)


def race(
    contestants: dict[str, Callable[[], None]], rounds: int, threads: int, wall: bool
) -> dict[str, float]:
    """Seconds of the best of `rounds` turns of each."""
    clock, scale = (time.perf_counter, 1.0) if wall else (time.process_time, 1.0 / threads)
    best = dict.fromkeys(contestants, float("inf"))
    for _ in range(rounds + 1):
        for name, run in contestants.items():
            start = clock()
            run()
            best[name] = min(best[name], (clock() - start) * scale)
    return best


def measure(size: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Lines of the table for one size: a policy's update, and supervised fine-tuning on demonstrations with a
    prompt each.
    """
    model, found = build(size), []
    parameters = sum(parameter.numel() for parameter in model.parameters())
    for job, data in (
        ("policy", rows(options.prompts, options.samples)),
        ("sft", rows(options.prompts * options.samples // 4, 1)),
    ):
        gemm, operations = products(model, min(options.budget, 4096))
        contestants = {
            "packed": packed(model, data, options.budget),
            "padded by length": padded(model, data, options.budget),
            "padded to the longest": longest(model, data, 32),
        }
        seconds = race({"gemm": gemm, **contestants}, options.rounds, options.threads, options.wall)
        rate, tokens = operations / seconds["gemm"], sum(len(row.context[0]) + len(row.ids) for row in data)
        for name in contestants:
            found.append(
                {
                    "size": size,
                    "parameters": parameters,
                    "job": job,
                    "pass": name,
                    "tokens_per_s": tokens / seconds[name],
                    "share_of_limit": 6.0 * parameters * tokens / seconds[name] / rate,
                    "packed_is_faster_by": seconds[name] / seconds["packed"],
                    "gemm_gflops": rate / 1e9,
                }
            )
    return found


def main() -> None:
    """Measure and print a markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--prompts", type=int, default=32, help="prompts of an update")
    parser.add_argument("--samples", type=int, default=8, help="answers to each")
    parser.add_argument("--budget", type=int, default=4096, help="tokens of a micro-batch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--wall", action="store_true", help="the clock, not CPU time")
    parser.add_argument("--json", type=Path, help="write the lines here as well")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lines = []
    print(
        "| size | job | pass | tokens/s | share of 6 N tokens | packed is faster by | GEMM GFLOP/s "
        "|\n|---|---|---|---|---|---|---|"
    )
    for size in options.sizes:
        for line in measure(size, options):
            lines.append(line)
            print(
                f"| {line['size']} | {line['job']} | {line['pass']} | {line['tokens_per_s']:,.0f} | "
                f"{line['share_of_limit']:.0%} "
                f"| {line['packed_is_faster_by']:.2f} | {line['gemm_gflops']:.0f} |",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(lines, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
