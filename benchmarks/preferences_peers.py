"""Whetstone's DPO step against TRL's DPOTrainer: the same model and pairs, one process, step by step in
turns.

    python benchmarks/preferences_peers.py [--sizes 0.4M 5M] [--steps 10] [--threads 2] [--pairs FILE
    --tokenizer FOLDER] [--check]

Needs TRL beside Whetstone's own packages, see benchmarks/peers.py. Both sides have the reference's log-probs
before they start. A step is the rest: fetch the pairs of a batch, pack or pad them, forward, backward,
update. TRL's is cut as was fastest among --splits.

Without --pairs they are two samples to each problem of the embedded exam, drawn from the model itself. With
it, they are a file of the `preferences` stage and the tokenizer they were made with. --check compares the
losses of both sides, step by step.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from benchmarks.peers import SIZES, corpus, taught  # noqa: E402
from benchmarks.peers_trl import Clock, Step  # noqa: E402
from benchmarks.preferences_trl import steps as trl_steps  # noqa: E402
from pipelines.corpora.preferences.pair import Pair  # noqa: E402
from pipelines.corpora.records.pair_tokens import read_pairs  # noqa: E402
from pipelines.corpora.records.record import Record  # noqa: E402
from pipelines.models import policy  # noqa: E402
from pipelines.models.base_params import ArchitectureParams  # noqa: E402
from pipelines.models.packing import can_share  # noqa: E402
from pipelines.models.placement import Placement  # noqa: E402
from pipelines.models.tokenizer import Tokens  # noqa: E402
from pipelines.rollouts.counter import child_key, root_key  # noqa: E402
from pipelines.rollouts.engines.local import LocalEngine  # noqa: E402
from pipelines.rollouts.rollout_params import SamplingParams  # noqa: E402
from pipelines.training.engine import TorchEngine  # noqa: E402
from pipelines.training.preference import PairsWithReference, batch_loss  # noqa: E402
from pipelines.training.preference_data import AnswerPair, PairBatches, PairData  # noqa: E402
from pipelines.training.preference_params import PairTrainParams  # noqa: E402
from pipelines.training.ranks import Ranks  # noqa: E402
from pipelines.training.reference_logprobs import reference_logprobs  # noqa: E402

RATE = 1e-4


def sampled_pairs(folder: Path, records: Sequence[Record], count: int) -> list[Pair]:
    """Two samples to each problem from the model in `folder`, as they come: what pairs made from verdicts
    look like to a trainer.
    """
    model, tokens = policy.load(folder)
    engine = LocalEngine(model, tokens, Placement.resolve("cpu", "float32", 0))
    keys = [[child_key(root_key(0, 0, record.id), index) for index in range(2)] for record in records]
    drawn = engine.generate(
        [record.prompt_ids for record in records], keys, SamplingParams(max_new_tokens=64)
    )
    pairs: list[Pair] = []
    for record, (one, other) in zip(records, drawn, strict=True):
        if one.ids != other.ids and len(pairs) < count:
            texts = tokens.decode(one.ids), tokens.decode(other.ids)
            pairs.append(
                Pair(
                    record.id, record.prompt, *texts, "exam", record.prompt_ids, one.ids, other.ids, record.id
                )
            )
    return pairs


class Ours:
    """Whetstone's step on the model in `folder`: batch after batch of `data`, as the loop of `train_pairs`
    has it.
    """

    def __init__(self, folder: Path, data: PairData, size: int, budget: int, threads: int) -> None:
        placement = Placement.resolve("cpu", "float32", threads)
        model, _ = policy.load(folder)
        settings = {
            "steps": 1,
            "batch_size": size,
            "optimiser": {"learning_rate": RATE, "epsilon": 1e-8, "weight_decay": 0.0},
        }
        self._settings = PairTrainParams.model_validate(settings)
        self._engine = TorchEngine(model, self._settings.optimiser, placement)
        self._batches = PairBatches(budget, Ranks.single(), can_share(model))
        self._pairs = PairsWithReference(data, reference_logprobs(model, data, placement, budget))
        self._size = size
        self.steps: list[Step] = []
        self.losses: list[float] = []

    def __call__(self) -> None:
        first = len(self.steps) * self._size
        if first >= len(self._pairs.data):
            return
        clock = Clock()
        rows = list(range(first, first + self._size))
        self.losses.append(
            batch_loss(self._engine, self._pairs, rows, self._settings, self._batches, True)["loss"]
        )
        self._engine.step(1.0)
        self.steps.append(clock.step(self._size))


def best_split(
    folder: Path, batches: Sequence[Sequence[AnswerPair]], splits: Sequence[int], scratch: str
) -> int:
    """The fastest of TRL's micro-batches, by the median of three steps after one."""
    if len(splits) == 1:
        return splits[0]
    costs = {}
    for split in splits:
        found, _ = trl_steps(str(folder), batches[:4], split, RATE, scratch)
        costs[split] = statistics.median(step.seconds for step in found[1:])
    return min(costs, key=costs.__getitem__)


def best_budget(folder: Path, data: PairData, arguments: argparse.Namespace) -> int:
    """The fastest of Whetstone's micro-batches, in the same way."""
    costs = {}
    for budget in arguments.budgets:
        ours = Ours(folder, data, arguments.batch, budget, arguments.threads)
        for _ in range(4):
            ours()
        costs[budget] = statistics.median(step.seconds for step in ours.steps[1:])
    return min(costs, key=costs.__getitem__)


def untaught(size: str, tokens: Tokens, folder: Path) -> Path:
    """A model with random weights for that tokenizer."""
    architecture = ArchitectureParams.model_validate(SIZES[size] | {"context": 4096})
    policy.save(policy.build(architecture, tokens, seed=0), tokens, folder / f"random-{size}")
    return folder / f"random-{size}"


def duel(size: str, saved: Path, data: PairData, arguments: argparse.Namespace) -> str:
    """A row of the table. The first step of each side warms up and is left out."""
    batches = [data.pairs[first : first + arguments.batch] for first in range(0, len(data), arguments.batch)]
    with tempfile.TemporaryDirectory() as scratch:
        split, budget = (
            best_split(saved, batches, arguments.splits, scratch),
            best_budget(saved, data, arguments),
        )
        ours = Ours(saved, data, arguments.batch, budget, arguments.threads)
        theirs, losses = trl_steps(str(saved), batches, split, RATE, scratch, ours, arguments.check)
    if arguments.check:
        worst = max(abs(a - b) for a, b in zip(ours.losses, losses, strict=True))
        print(f"largest difference of losses over {len(losses)} steps: {worst:.1e}")
    lengths = (
        [len(pair.prompt) for pair in data.pairs],
        [len(ids) for pair in data.pairs for ids in pair[2:]],
    )
    cells = [size, " + 2 x ".join(f"{statistics.fmean(each):.0f}" for each in lengths)]
    for side in (ours.steps[1:], theirs[1:]):
        rates = [step.tokens / step.seconds for step in side]
        cells.append(f"{statistics.median(rates):.0f} ({min(rates):.0f}-{max(rates):.0f})")
    for name in ("seconds", "processor"):
        found = [
            getattr(their, name) / getattr(our, name)
            for their, our in zip(theirs[1:], ours.steps[1:], strict=True)
        ]
        cells.append(f"{statistics.median(found):.2f} ({min(found):.2f}-{max(found):.2f})")
    cells += [f"{budget} tokens", f"{split} pairs"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--batch", type=int, default=64, help="pairs of a step")
    parser.add_argument("--steps", type=int, default=10, help="timed steps of each side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--splits",
        type=int,
        nargs="+",
        default=[64, 32, 16, 8],
        help="micro-batches to try for TRL, in pairs",
    )
    parser.add_argument(
        "--budgets",
        type=int,
        nargs="+",
        default=[1024, 2048, 4096],
        help="micro-batches to try for Whetstone, in tokens",
    )
    parser.add_argument(
        "--taught", type=int, default=100, help="batches of demonstrations before the pairs are drawn"
    )
    parser.add_argument("--pairs", type=Path, help="train.jsonl of a preference set")
    parser.add_argument("--tokenizer", type=Path, help="the tokenizer folder of those pairs")
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument(
        "--check", action="store_true", help="compare losses; TRL logs then, do not read the times"
    )
    parser.add_argument("--folder", type=Path, help="where the models are kept for the next run")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    needed = (arguments.steps + 1) * arguments.batch
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        made = None if arguments.pairs else corpus(folder)
        print(f"{arguments.batch} pairs a step; {arguments.threads} threads")
        columns = (
            "size | tokens | pairs/s (range) | TRL pairs/s (range) | ratio (range) | of CPU time (range) | "
            "micro-batch | TRL's"
        )
        print(f"| {columns} |\n|{'---|' * (columns.count('|') + 1)}")
        for size in arguments.sizes:
            saved = (
                taught(size, made, folder, arguments.taught)
                if made
                else untaught(size, Tokens.load(arguments.tokenizer), folder)
            )
            pairs = (
                sampled_pairs(saved, made.records["sft"][: 2 * needed], needed)
                if made
                else read_pairs(
                    arguments.pairs.parent, arguments.pairs.stem, Tokens.load(arguments.tokenizer)
                ).pairs
            )
            kept = PairData(pairs, arguments.max_tokens).kept[:needed]
            if len(kept) < needed:
                raise SystemExit(
                    f"{len(kept)} pairs fit, {needed} are needed: fewer steps, a smaller batch, or more "
                    f"tokens"
                )
            print(duel(size, saved, PairData(kept, arguments.max_tokens), arguments), flush=True)


if __name__ == "__main__":
    main()
