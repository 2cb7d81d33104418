"""How fast the local engine samples: beside Hugging Face `generate`, beside what the machine could do at
best, flat and as trees.

    python -m benchmarks.rollout [--sizes 0.4M 1M 5M 25M] [--rows 64 256 1024] [--new-tokens 64] [--rounds 5]
    [--json FILE] [--quick]

All of a table is measured in one process, the contenders in turn, and each ratio is taken within a round: the
median over the rounds with the range behind it. Absolute figures hold for the machine and the moment. Other
processes' share of the cores is measured with every sample; a line says how much it was, and rounds wait a
while for it to fall.

The limit of a step is the larger of its matrix products at the best rate that this machine reaches on those
very shapes, and reading all keys and values once at the bandwidth it reaches. It is measured anew in every
round, behind the engine: the rate of a shared machine moves by half.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pipelines.quiet import quiet  # noqa: E402

quiet(offline=True)

import torch  # noqa: E402

from pipelines.models.placement import Placement  # noqa: E402
from pipelines.rollouts.counter import child_key, root_key  # noqa: E402
from pipelines.rollouts.engines.local import LocalEngine  # noqa: E402
from pipelines.rollouts.forest import Completion, Prompt  # noqa: E402
from pipelines.rollouts.rollout_params import SamplingParams  # noqa: E402
from pipelines.rollouts.samplers import tree  # noqa: E402
from pipelines.rollouts.samplers.options import TreeParams  # noqa: E402

VOCABULARY, CONTEXT = 144, 2048
SIZES = {  # hidden, intermediate, layers, heads, key-value heads; the first is the embedded default's
    "0.4M": (128, 256, 3, 4, 1),
    "1M": (128, 344, 5, 4, 2),
    "5M": (256, 704, 7, 8, 4),
    "25M": (512, 1408, 8, 8, 4),
}
TARGETS = {"0.4M": 2.5, "1M": 2.3, "5M": 2.0, "25M": 1.5}
SECTIONS = ("flat", "answers", "tree")
LIMIT = "the machine's limit"


@dataclass(frozen=True)
class Row:
    """One line of a table: tokens per second of each contender (median), and ratios (median, lowest, highest)
    by name.
    """

    table: str
    size: str
    load: str
    rates: dict[str, float]
    ratios: dict[str, tuple[float, float, float]]
    limit_share: tuple[float, float, float] | None = None
    others: float = 0.0


def make_model(size: str) -> Any:
    """A Qwen2 model with random weights; nothing that it draws ends a response."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    hidden, intermediate, layers, heads, kv_heads = SIZES[size]
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        tie_word_embeddings=True,
        max_position_embeddings=CONTEXT,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
    )
    return Qwen2ForCausalLM(config).eval()


class Uncached(LocalEngine):
    """The same engine without memory from one call to the next."""

    def generate(
        self, prefixes: Any, keys: Any, sampling: Any, caps: Any = None, keep: bool = False
    ) -> list[list[Completion]]:
        return super().generate(prefixes, keys, sampling, caps)


class Peer:
    """Hugging Face `generate` with sampling and the log-probs of what it drew."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], samples: int, new_tokens: int) -> None:
        self._model, self._ids, self._samples, self._new_tokens = (
            model,
            torch.tensor(prompts),
            samples,
            new_tokens,
        )
        self.cache = "dynamic"

    def choose_cache(self) -> None:
        """Take the faster of the caches it offers."""
        seconds = {}
        for cache in ("dynamic", "static"):
            self.cache = cache
            self()
            started = time.perf_counter()
            self()
            seconds[cache] = time.perf_counter() - started
        self.cache = min(seconds, key=seconds.__getitem__)

    @torch.inference_mode()
    def __call__(self, lengths: torch.Tensor | None = None) -> None:
        """`lengths` (rows,): where each response ends; None: at the limit."""
        width = self._ids.shape[1]
        done = [lambda ids, scores, **_: ids.shape[1] - width >= lengths] if lengths is not None else []
        made = self._model.generate(
            self._ids,
            attention_mask=torch.ones_like(self._ids),
            num_return_sequences=self._samples,
            do_sample=True,
            top_k=0,
            top_p=1.0,
            max_new_tokens=self._new_tokens,
            pad_token_id=0,
            cache_implementation=None if self.cache == "dynamic" else self.cache,
            stopping_criteria=done,
            return_dict_in_generate=True,
            output_logits=True,
        )
        logits = torch.stack(made.logits, 1)
        logits.log_softmax(-1).gather(-1, made.sequences[:, width:, None])


class Bench:
    """One model, its engine, and the timing of contenders in turn."""

    def __init__(self, size: str, rounds: int, wait: float, clock: Callable[[], float]) -> None:
        self.size, self.rounds, self._wait, self._clock = size, rounds, wait, clock
        self.model = make_model(size)
        tokens: Any = SimpleNamespace(eos_id=-1, stop_ids=[], pad_id=0)
        self._made = (self.model, tokens, Placement(torch.device("cpu"), torch.float32))
        self.engine = LocalEngine(*self._made)
        self.uncached = Uncached(*self._made)

    def duel(
        self, contenders: dict[str, Callable[[], object]], limit: Callable[[], float] | None = None
    ) -> tuple[dict[str, list[float]], float]:
        """Seconds of each contender, and of `limit`, which says them itself, round by round; and the cores
        that other processes used meanwhile, at most.
        """
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        others, first = 0.0, next(iter(contenders.values()))
        for run in contenders.values():
            run()
        for _ in range(self.rounds):
            for name, run in contenders.items():
                wait_for_quiet(self._wait)
                busy, mine, started, tick = busy_seconds(), own_seconds(), time.perf_counter(), self._clock()
                run()
                seconds[name].append(self._clock() - tick)
                took = time.perf_counter() - started
                others = max(others, (busy_seconds() - busy - own_seconds() + mine) / took)
                if limit is not None and run is first:
                    seconds.setdefault(LIMIT, []).append(limit())
        return seconds, others

    def flat(self, rows: int, samples: int, width: int, new_tokens: int) -> Row:
        """Responses of one length, against the peer and the limit."""
        prompts, keys = make_prompts(rows // samples, samples, width)
        sampling = SamplingParams(max_new_tokens=new_tokens)
        peer = Peer(self.model, prompts, samples, new_tokens)
        peer.choose_cache()
        seconds, others = self.duel(
            {
                "local": lambda: self.engine.generate(prompts, keys, sampling),
                f"generate ({peer.cache})": peer,
            },
            lambda: limit_seconds(self.size, len(prompts) * samples, width, new_tokens),
        )
        share = spread(
            [least / taken for least, taken in zip(seconds.pop(LIMIT), seconds["local"], strict=True)]
        )
        counts = dict.fromkeys(seconds, len(prompts) * samples * new_tokens)
        return self._row(
            "flat", f"{len(prompts)}x{samples} of {width}+{new_tokens}", seconds, counts, others, share
        )

    def answers(self, rows: int, samples: int, width: int, limit: int) -> Row:
        """Responses of 10 to 50 tokens under a limit of `limit`; only these count."""
        prompts, keys = make_prompts(rows // samples, samples, width)
        lengths = torch.randint(
            10, 51, (len(prompts) * samples,), generator=torch.Generator().manual_seed(2)
        ).clamp(max=limit)
        peer = Peer(self.model, prompts, samples, limit)
        peer.choose_cache()
        single = [prompt for prompt in prompts for _ in range(samples)]
        each = [[key] for row in keys for key in row]
        sampling = SamplingParams(max_new_tokens=limit)
        seconds, others = self.duel(
            {
                "local": lambda: self.engine.generate(single, each, sampling, lengths.tolist()),
                f"generate ({peer.cache})": lambda: peer(lengths),
            }
        )
        load = f"{len(prompts)}x{samples} of {width}+10..50"
        return self._row("answers", load, seconds, dict.fromkeys(seconds, int(lengths.sum())), others)

    def tree(
        self, trees: int, width: int, segment: int, new_tokens: int, branching: Sequence[int] = (6, 6, 6)
    ) -> Row:
        """A tree against flat sampling of as many new tokens, against the same tree without kept caches, and
        against sampling all of its responses independently.
        """
        settings, sampling = (
            TreeParams(kind="tree", branching=list(branching), segment=segment),
            SamplingParams(max_new_tokens=new_tokens),
        )
        prompts = make_prompts(trees, 1, width)[0]
        roots = [Prompt(str(number), ids, root_key(0, 0, str(number))) for number, ids in enumerate(prompts)]
        forest = tree.grow(self.engine, roots, settings, sampling)
        count, leaves = sum(len(node.ids) for node in forest.nodes), len(forest.leaves()) // trees
        samples = round(count / trees / new_tokens)
        _, few = make_prompts(trees, samples, width)
        _, many = make_prompts(trees, leaves, width)
        seconds, others = self.duel(
            {
                "tree": lambda: tree.grow(self.engine, roots, settings, sampling),
                "flat": lambda: self.engine.generate(prompts, few, sampling),
                "tree, nothing kept": lambda: tree.grow(self.uncached, roots, settings, sampling),
                "independent": lambda: self.engine.generate(prompts, many, sampling),
            }
        )
        counts = {
            "tree": count,
            "flat": trees * samples * new_tokens,
            "tree, nothing kept": count,
            "independent": trees * leaves * new_tokens,
        }
        shape = "-".join(map(str, branching))
        row = self._row(
            "tree",
            f"{trees} trees {shape} of {width}+{segment}.., {new_tokens} in all",
            seconds,
            counts,
            others,
        )
        saved = spread(
            [slow / fast for slow, fast in zip(seconds["independent"], seconds["tree"], strict=True)]
        )
        row.ratios["independent (time)"] = saved
        del row.ratios["independent"]  # of rates: says nothing
        return row

    def _row(
        self,
        table: str,
        load: str,
        seconds: dict[str, list[float]],
        counts: dict[str, int],
        others: float,
        share: tuple[float, float, float] | None = None,
    ) -> Row:
        first, *rest = seconds
        rates = {name: counts[name] / statistics.median(taken) for name, taken in seconds.items()}
        ratios = {
            name: spread(
                [
                    counts[first] / mine / (counts[name] / theirs)
                    for mine, theirs in zip(seconds[first], seconds[name], strict=True)
                ]
            )
            for name in rest
        }
        return Row(table, self.size, load, rates, ratios, share, others)


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, lowest, highest."""
    return statistics.median(values), min(values), max(values)


def make_prompts(count: int, samples: int, width: int) -> tuple[list[list[int]], list[list[int]]]:
    """Random prompts of `width` tokens, and `samples` keys for each."""
    generator = torch.Generator().manual_seed(1)
    prompts = torch.randint(3, VOCABULARY, (max(1, count), width), generator=generator).tolist()
    return prompts, [
        [child_key(root_key(0, 0, str(number)), index) for index in range(samples)]
        for number in range(len(prompts))
    ]


def limit_seconds(size: str, rows: int, width: int, new_tokens: int) -> float:
    """What sampling must take at least: per step the larger of products at the best rate measured, and
    reading keys and values.
    """
    hidden, intermediate, layers, heads, kv_heads = SIZES[size]
    head = hidden // heads
    shapes = [
        (hidden, hidden + 2 * kv_heads * head),
        (hidden, hidden),
        (hidden, 2 * intermediate),
        (intermediate, hidden),
    ]
    work = layers * sum(2 * rows * inner * outer for inner, outer in shapes) + 2 * rows * hidden * VOCABULARY
    reading = rows * (width + new_tokens / 2) * 2 * layers * kv_heads * head * 4 / bandwidth()
    return new_tokens * max(work / product_rate(rows, shapes), reading)


def product_rate(rows: int, shapes: Sequence[tuple[int, int]]) -> float:
    """The best rate of these products in FLOP/s."""
    best = 0.0
    for inner, outer in shapes:
        left, right = torch.randn(rows, inner), torch.randn(outer, inner)
        best = max(
            best,
            2
            * rows
            * inner
            * outer
            / fastest(lambda left=left, right=right: torch.nn.functional.linear(left, right)),
        )
    return best


@functools.cache
def bandwidth() -> float:
    """Bytes/s of a sum over 256 MB."""
    values = torch.randn(64 * 2**20)
    return 4 * len(values) / fastest(values.sum)


def fastest(run: Callable[[], object], budget: float = 0.3) -> float:
    """Seconds of the fastest call within `budget` seconds."""
    run()
    best, end = float("inf"), time.perf_counter() + budget
    while time.perf_counter() < end:
        started = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - started)
    return best


def busy_seconds() -> float:
    """CPU seconds of all processes since boot; 0 where the system does not say."""
    try:
        with open("/proc/stat") as file:
            fields = [int(field) for field in file.readline().split()[1:]]
    except OSError:
        return 0.0
    return (sum(fields[:3]) + sum(fields[5:7])) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """CPU seconds of this process."""
    times = os.times()
    return times.user + times.system


def wait_for_quiet(limit: float) -> None:
    """Return when other processes use less than 0.15 cores, or after `limit` seconds."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        busy, mine, started = busy_seconds(), own_seconds(), time.monotonic()
        time.sleep(0.2)
        if busy_seconds() - busy - own_seconds() + mine < 0.15 * (time.monotonic() - started):
            return


def show(row: Row) -> str:
    """One markdown table line."""
    rates = ", ".join(f"{name} {rate:,.0f}" for name, rate in row.rates.items())
    ratios = ", ".join(
        f"{middle:.2f} ({low:.2f}..{high:.2f}) x {name}" for name, (middle, low, high) in row.ratios.items()
    )
    limit = "" if row.limit_share is None else "{:.0%} ({:.0%}..{:.0%})".format(*row.limit_share)
    return f"| {row.table} | {row.size} | {row.load} | {rates} | {ratios} | {limit} | {row.others:.2f} |"


def measure(options: argparse.Namespace) -> list[Row]:
    """All rows asked for, printed as they come."""
    rows: list[Row] = []
    print("| table | model | load | tokens/s | ratio: median (range) | of the limit | others' cores |")
    print("|---|---|---|---|---|---|---|")

    def add(row: Row) -> None:
        rows.append(row)
        print(show(row), flush=True)

    for size in options.sizes:
        bench = Bench(
            size, options.rounds, options.wait, time.process_time if options.cpu_time else time.perf_counter
        )
        for count in options.rows:
            if "flat" in options.tables:
                for length in options.new_tokens:
                    add(bench.flat(count, options.samples, options.prompt_tokens, length))
            if "answers" in options.tables:
                add(bench.answers(count, options.samples, options.prompt_tokens, 64))
        if "tree" in options.tables:
            add(bench.tree(options.trees, options.prompt_tokens, options.segment, 3 * options.segment))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--tables", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument(
        "--rows", nargs="+", type=int, default=[256], help="sequences at once (prompts x samples)"
    )
    parser.add_argument("--samples", type=int, default=8, help="responses per prompt")
    parser.add_argument("--prompt-tokens", type=int, default=24)
    parser.add_argument("--new-tokens", nargs="+", type=int, default=[64])
    parser.add_argument("--trees", type=int, default=8, help="prompts of the tree table")
    parser.add_argument(
        "--segment",
        type=int,
        default=20,
        help="tokens of a tree's inner segment; a response has three times as many",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--wait", type=float, default=10, help="seconds to wait for other processes before each sample"
    )
    parser.add_argument("--threads", type=int, default=0, help="cores to use; 0: torch's default")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count this process's CPU seconds: on a busy machine, with --threads 1",
    )
    parser.add_argument("--json", type=Path, help="write the rows there as well")
    parser.add_argument(
        "--quick", action="store_true", help="one round of the smallest model, to see that it runs"
    )
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.rows, options.rounds, options.trees, options.wait = ["0.4M"], [64], 1, 1, 0
    if options.threads:
        torch.set_num_threads(options.threads)
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    about = {
        "commit": commit.stdout.strip(),
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.processor() or platform.machine(),
    }
    print(", ".join(f"{name} {value}" for name, value in about.items()) + f"; {options.rounds} rounds")
    rows = measure(options)
    for row in rows:
        if row.table == "flat":
            ratio = max(middle for middle, _, _ in row.ratios.values())
            verdict = "reached" if ratio >= TARGETS[row.size] else "missed"
            print(f"{row.size} {row.load}: {ratio:.2f} x, target {TARGETS[row.size]} x: {verdict}")
    if options.json:
        options.json.write_text(json.dumps(about | {"rows": [asdict(row) for row in rows]}, indent=1))


if __name__ == "__main__":
    main()
