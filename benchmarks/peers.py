"""Whetstone's policy step against TRL's trainers: the same model, prompts, samples and token limit, one
process, step by step in turns.

    python benchmarks/peers.py [--sizes 0.4M 5M] [--methods grpo rloo] [--steps 5] [--threads 2] [--folder
    FOLDER]

Needs an environment with TRL, which Whetstone does not install; any folder will do for it:

    python3.11 -m venv peers && peers/bin/pip install torch==2.13.0 && peers/bin/pip install "trl==1.16.*"
    numba pydantic pyyaml peers/bin/python benchmarks/peers.py

A step is all of it: sample, score, assign credit, update once. Both sides run the same checker, which gives
every group answers of both kinds, so that Whetstone's habit of leaving out groups without signal saves it
nothing. TRL 1.16 ships no PPO. The limit is that of the matrix products that no implementation can leave out,
at this machine's measured rate: each prompt once, each sampled token once forward to draw it, and the
update's forward and backward of both; attention scores, optimiser and everything else count as nothing. On a
machine with other load read the ratio of processor time, and take one thread (OMP_NUM_THREADS=1 as well): a
waiting thread spins.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import yaml  # noqa: E402

from benchmarks.peers_trl import Clock, Split, Step, steps  # noqa: E402
from pipelines.corpora.build import build  # noqa: E402
from pipelines.corpora.corpus_params import CorpusParams  # noqa: E402
from pipelines.corpora.records.record import Record  # noqa: E402
from pipelines.corpora.records.tokenised import read_tokenised  # noqa: E402
from pipelines.corpora.records.training_texts import TrainingTexts  # noqa: E402
from pipelines.models import policy  # noqa: E402
from pipelines.models.base_params import ArchitectureParams  # noqa: E402
from pipelines.models.packing import can_share  # noqa: E402
from pipelines.models.placement import Placement  # noqa: E402
from pipelines.models.tokenizer import Tokens  # noqa: E402
from pipelines.models.tokenizer_params import BpeTokenizer, TemplateParams  # noqa: E402
from pipelines.models.tokenizer_training import make_tokens  # noqa: E402
from pipelines.rewards.judge import RuleJudge  # noqa: E402
from pipelines.rewards.rules import final_answer  # noqa: E402
from pipelines.rewards.verdict import Verdict, right, wrong  # noqa: E402
from pipelines.rollouts.engines.local import LocalEngine  # noqa: E402
from pipelines.training.engine import TorchEngine  # noqa: E402
from pipelines.training.micro_batches import MicroBatcher  # noqa: E402
from pipelines.training.policy import PolicyTrainer  # noqa: E402
from pipelines.training.policy_params import PolicyParams  # noqa: E402
from pipelines.training.policy_parts import Generation, Judging, Learner, ProblemSets  # noqa: E402
from pipelines.training.ranks import Ranks  # noqa: E402

SIZES: dict[str, dict[str, int]] = {
    "0.4M": {"hidden_size": 128, "intermediate_size": 256, "layers": 3, "heads": 4, "kv_heads": 1},
    "5M": {"hidden_size": 256, "intermediate_size": 704, "layers": 7, "heads": 8, "kv_heads": 4},
}
CREDITS = {"grpo": "group", "rloo": "leave_one_out"}
RATE = 1e-6  # so small that the answers' lengths stay those of the first step


def graded(text: str, answer: str, finished: bool) -> Verdict:
    """A verdict by the bits of the response: in a group of eight answers of both kinds are all but
    certain.
    """
    return right() if zlib.crc32(text.encode()) & 1 else wrong("even")


@dataclass(frozen=True)
class TokenisedCorpus:
    """The exam as the model of `tokens` reads it."""

    tokens: Tokens
    records: dict[str, list[Record]]


def corpus(folder: Path) -> TokenisedCorpus:
    """The embedded exam, smaller and with all working written out."""
    whole = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    params = whole["corpus"]["exam"]
    params["sources"]["exam"] |= {
        "terse": 0.0,
        "n_sft": 4000,
        "n_rl": 500,
        "n_validation": 50,
        "n_heldout": 50,
    }
    examples = folder / "records"
    made = build("exam", CorpusParams.model_validate(params), ROOT / params["raw"], 0, examples)
    tokenizer = BpeTokenizer.model_validate(whole["base"]["runs"]["base"]["tokenizer"])
    tokens = make_tokens(tokenizer, TemplateParams(), TrainingTexts.of(examples), folder / "tokenizer")
    records = {file: list(read_tokenised(examples, file, tokens).records) for file in made.examples}
    return TokenisedCorpus(tokens, records)


def taught(size: str, made: TokenisedCorpus, folder: Path, batches: int) -> Path:
    """A model that has seen some demonstrations, so that its answers end as real ones do: some early, some at
    the limit.
    """
    saved = folder / f"model-{size}-{batches}"
    if saved.exists():
        return saved
    architecture = ArchitectureParams.model_validate(SIZES[size] | {"context": 256, "rope_theta": 100.0})
    model = policy.build(architecture, made.tokens, seed=0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), fused=True)
    shown = [record for record in made.records["sft"] if record.response_ids]
    for batch in range(batches):
        part = [shown[(batch * 32 + index) % len(shown)] for index in range(32)]
        rows = [record.prompt_ids + (record.response_ids or []) for record in part]
        width = max(map(len, rows))
        ids = torch.tensor([row + [made.tokens.pad_id] * (width - len(row)) for row in rows])
        labels = ids.masked_fill(ids == made.tokens.pad_id, -100)
        model(input_ids=ids, labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    policy.save(model, made.tokens, saved)
    return saved


class Ours:
    """Whetstone's trainer on the model in `folder`."""

    def __init__(
        self, method: str, folder: Path, problems: Sequence[Record], arguments: argparse.Namespace
    ) -> None:
        placement = Placement.resolve("cpu", "float32", arguments.threads)
        model, tokens = policy.load(folder)
        settings = PolicyParams.model_validate(
            {
                "sampler": {"kind": "flat", "samples": arguments.samples},
                "prompts": len(problems),
                "sampling": {"max_new_tokens": arguments.new_tokens},
                "credit": CREDITS[method],
                "objective": "clip",
                "updates_per_epoch": 1,
                "optimiser": {"learning_rate": RATE},
            }
        )
        judge = RuleJudge(final_answer)
        self._trainer = PolicyTrainer(
            settings=settings,
            seed=0,
            learner=Learner(
                TorchEngine(model, settings.optimiser, placement),
                MicroBatcher(arguments.budget, Ranks.single(), can_share(model)),
            ),
            generation=Generation(LocalEngine(model, tokens, placement), tokens),
            judging=Judging(judge, judge),
            problems=ProblemSets(problems, problems),
            dump_folder=folder,
        )
        self.steps: list[Step] = []

    def __call__(self) -> None:
        clock = Clock()
        figures = self._trainer.run_iteration(len(self.steps))
        self.steps.append(clock.step(int(figures["sampled_tokens"])))


def best_split(
    method: str, folder: Path, problems: Sequence[Record], arguments: argparse.Namespace, scratch: str
) -> Split:
    """The fastest of TRL's ways to cut the batch, then of its ways to sample, by the second of two steps."""

    def cost(split: Split) -> float:
        return trl(method, folder, problems, arguments, split, 2, scratch)[-1].seconds

    rows = len(problems) * arguments.samples
    found = [
        Split(batch, "generate")
        for batch in sorted({min(batch, rows) for batch in arguments.batches}, reverse=True)
    ]
    best = min(found, key=cost) if len(found) > 1 else found[0]
    return min((best, Split(best.batch, "paged")), key=cost) if arguments.paged else best


def trl(
    method: str,
    folder: Path,
    problems: Sequence[Record],
    arguments: argparse.Namespace,
    split: Split,
    count: int,
    scratch: str,
    **more: Any,
) -> list[Step]:
    def judge(text: str, answer: str, finished: bool) -> float:
        return graded(text, answer, finished).score

    return steps(
        method,
        str(folder),
        problems,
        arguments.samples,
        arguments.new_tokens,
        RATE,
        judge,
        split,
        count,
        scratch,
        **more,
    )


def gemm_rate() -> float:
    """float32 operations a second of a large matrix product."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    times = []
    for _ in range(20):
        clock = Clock()
        a @ b
        times.append(clock.step(0).seconds)
    return 2 * 1024**3 / min(times)


def limit(folder: Path, problems: Sequence[Record], tokens: float, rate: float) -> float:
    """Seconds of the products that no implementation can leave out: 2 operations a parameter and token
    forward, 4 backward.
    """
    model, _ = policy.load(folder)
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    used = sum(parameter.numel() for parameter in model.parameters()) - (
        0 if head is embedding else embedding.numel()
    )
    prompts = sum(len(record.prompt_ids) for record in problems)
    return 8 * used * (prompts + tokens) / rate


def duel(size: str, method: str, made: TokenisedCorpus, folder: Path, arguments: argparse.Namespace) -> str:
    """A row of the table. The first step of each side warms up and is left out."""
    saved = taught(size, made, folder, arguments.taught)
    problems = made.records["rl"][: arguments.prompts]
    with tempfile.TemporaryDirectory() as scratch:
        split = best_split(method, saved, problems, arguments, scratch)
        ours = Ours(method, saved, problems, arguments)
        theirs = trl(method, saved, problems, arguments, split, arguments.steps + 1, scratch, between=ours)[
            1:
        ]
    own = ours.steps[1:]
    ratios = [their.seconds / our.seconds for their, our in zip(theirs, own, strict=True)]
    processor = [their.processor / our.processor for their, our in zip(theirs, own, strict=True)]
    rate = gemm_rate()
    cells = [size, method]
    for side in (own, theirs):
        seconds, tokens = (
            statistics.median(step.seconds for step in side),
            statistics.fmean(step.tokens for step in side),
        )
        cells += [f"{seconds:.2f}", f"{tokens:.0f}", f"{limit(saved, problems, tokens, rate) / seconds:.0%}"]
    cells += [
        f"{statistics.median(found):.1f} ({min(found):.1f}-{max(found):.1f})" for found in (ratios, processor)
    ]
    cells += [f"{rate / 1e9:.0f}", str(split)]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--methods", nargs="+", choices=list(CREDITS), default=list(CREDITS))
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--batches",
        type=int,
        nargs="+",
        default=[256, 128, 64, 32],
        help="micro-batches to try for TRL, in sequences",
    )
    parser.add_argument("--budget", type=int, default=2048, help="tokens of one of Whetstone's micro-batches")
    parser.add_argument(
        "--taught",
        type=int,
        default=100,
        help="batches of demonstrations before the duel; 0 leaves the weights random",
    )
    parser.add_argument("--paged", action="store_true", help="try transformers' continuous batching as well")
    parser.add_argument("--folder", type=Path, help="where the models are kept for the next run")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    final_answer.check = graded
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        made = corpus(folder)
        print(
            f"{arguments.prompts} prompts x {arguments.samples} samples, at most {arguments.new_tokens} "
            f"tokens; {arguments.threads} threads"
        )
        columns = (
            "size | method | s/step | tokens | of limit | TRL s | tokens | of limit | ratio (range) | of CPU "
            "time | GFLOP/s | TRL's best"
        )
        print(f"| {columns} |\n|{'---|' * (columns.count('|') + 1)}")
        for size in arguments.sizes:
            for method in arguments.methods:
                print(duel(size, method, made, folder, arguments), flush=True)


if __name__ == "__main__":
    main()
