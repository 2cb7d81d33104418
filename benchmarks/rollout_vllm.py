"""The local engine beside vLLM's CPU build, in one process, with the weights of one model.

    .venv-vllm/bin/python -m benchmarks.rollout_vllm [--sizes 0.4M 1M 5M] [--rows 256] [--new-tokens 64]
    [--rounds 5] [--json FILE]

`make test-vllm` makes that environment. Three contenders take turns: the local engine, vLLM with its own
sampler and the log-prob of what it drew (what one gets from it as it comes), and vLLM with Whetstone's draw
inside (`execution.sampler: vllm`, the local engine's samples). Rates are warm: every contender runs once
before. One size for each process: vLLM keeps its first model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.rollout import SIZES, Bench, Row, make_prompts, show  # first: it sets the environment
from pipelines.rollouts.engines.vllm import VllmEngine
from pipelines.rollouts.rollout_params import SamplingParams


def stock(engine: VllmEngine, prompts: list[list[int]], samples: int, new_tokens: int) -> None:
    """As many samples from vLLM's own sampler, with the log-prob of each token."""
    from vllm import SamplingParams as VllmParams
    from vllm.sampling_params import RequestOutputKind

    vllm: Any = engine._vllm
    for row, prompt in enumerate(prompts):
        parameters = VllmParams(
            n=samples,
            temperature=1.0,
            max_tokens=new_tokens,
            ignore_eos=True,
            detokenize=False,
            logprobs=0,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        vllm.add_request(f"stock{row}-{time.monotonic_ns()}", {"prompt_token_ids": prompt}, parameters)
    while vllm.has_unfinished_requests():
        vllm.step()


def measure(size: str, options: argparse.Namespace) -> Row:
    """One line of the table."""
    bench = Bench(size, options.rounds, options.wait, time.perf_counter)
    prompts, keys = make_prompts(options.rows // options.samples, options.samples, options.width)
    sampling = SamplingParams(max_new_tokens=options.new_tokens)
    engine = VllmEngine(*bench._made, batch=options.rows)
    torch.set_num_threads(options.threads)
    seconds, others = bench.duel(
        {
            "local": lambda: bench.engine.generate(prompts, keys, sampling),
            "vLLM": lambda: stock(engine, prompts, options.samples, options.new_tokens),
            "vLLM, our draw": lambda: engine.generate(prompts, keys, sampling),
        }
    )
    count = len(prompts) * options.samples * options.new_tokens
    load = (
        f"{len(prompts)}x{options.samples} of {options.width}+{options.new_tokens}, {options.threads} threads"
    )
    return bench._row("vllm", load, seconds, dict.fromkeys(seconds, count), others)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=["0.4M", "1M", "5M"])
    parser.add_argument("--rows", type=int, default=256, help="sequences at once")
    parser.add_argument("--samples", type=int, default=8, help="of each prompt")
    parser.add_argument("--width", type=int, default=24, help="tokens of a prompt")
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--wait", type=float, default=5, help="seconds to wait for a quiet machine before each sample"
    )
    parser.add_argument("--json", type=Path, help="write the rows there too")
    options = parser.parse_args()
    if len(options.sizes) > 1:
        rows = []
        for size in options.sizes:
            command = [sys.executable, "-m", "benchmarks.rollout_vllm", "--sizes", size]
            for name in ("rows", "samples", "width", "new_tokens", "rounds", "threads", "wait"):
                command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
            rows.append(
                subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                .stdout.strip()
                .splitlines()[-1]
            )
            print(rows[-1], flush=True)
        return
    row = measure(options.sizes[0], options)
    print(show(row))
    if options.json:
        options.json.write_text(json.dumps([asdict(row)], indent=1))


if __name__ == "__main__":
    main()
