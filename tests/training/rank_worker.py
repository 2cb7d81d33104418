"""What each of two processes of the DeepSpeed tests runs: `python -m tests.training.rank_worker FOLDER STAGE`
under torchrun's environment.

Every rank writes what it found to FOLDER/<stage>-<rank>.pt; the tests compare that with one process.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.models import adapters, critic, policy
from pipelines.models.adapter_params import AdapterParams
from pipelines.models.logprobs import score
from pipelines.models.packing import Segment
from pipelines.models.tokenizer import Tokens
from pipelines.rollouts.counter import child_key, root_key
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.training import deepspeed_engine
from pipelines.training.deepspeed_engine import DeepSpeedEngine
from pipelines.training.engine import Engine, TorchEngine
from pipelines.training.options import OptimiserParams
from pipelines.training.ranks import Ranks
from pipelines.training.sharded_rollouts import ShardedEngine
from tasks.launch import end_worker
from tests.tiny import CPU, make_tiny_model

SETTINGS = OptimiserParams(
    learning_rate=1e-2, vector_learning_rate=3e-2, weight_decay=0.1, epsilon=1e-5, grad_clip=0.5
)
# 5: the ranks have 3 and 2
ROWS = [[4, 5, 6, 7, 8], [9, 4, 10, 1], [5, 5, 4, 6, 7, 8, 9], [10, 8, 7], [6, 4, 9, 9, 9, 1]]
PROMPTS = [[4, 5, 6], [7, 8], [9, 10, 4, 4]]


def batch_loss(engine: Engine, ranks: Ranks) -> float:
    """The mean negative log-likelihood of ROWS after their first token, one row a micro-batch; adds its
    gradient.
    """
    count = sum(len(row) - 1 for row in ROWS)
    mine = ranks.shard(ROWS)
    total = 0.0
    for turn in range(ranks.micro_batches_per_rank(len(ROWS))):
        ids = torch.tensor([mine[turn] if turn < len(mine) else ROWS[0][:2]])
        loss = -engine.forward(ids, torch.ones_like(ids, dtype=torch.bool)).logprobs.sum() / count
        engine.backward(loss if turn < len(mine) else 0 * loss)
        total += float(loss.detach()) if turn < len(mine) else 0.0
    return ranks.sum(total)


def learn(engine: Engine, ranks: Ranks, steps: int = 3) -> list[tuple[float, float]]:
    """(loss, gradient norm) of each step; the rate falls."""
    found = []
    for step in range(steps):
        loss = batch_loss(engine, ranks)
        found.append((loss, engine.step(1.0 / (step + 1))))
    return found


def sample(model: Any, tokens: Tokens, ranks: Ranks) -> list[list[tuple[list[int], str, list[float]]]]:
    """Index + 1 responses to each of PROMPTS, the third cut after two tokens."""
    keys = [
        [child_key(root_key(0, 0, str(prompt)), index) for index in range(count + 1)]
        for count, prompt in enumerate(PROMPTS)
    ]
    engine = ShardedEngine(LocalEngine(model, tokens, CPU), ranks)
    made = engine.generate(PROMPTS, keys, SamplingParams(max_new_tokens=6), caps=[6, 6, 2])
    return [
        [(one.ids, str(one.finish), one.logprobs.tolist() + one.entropy.tolist()) for one in group]
        for group in made
    ]


def weights(engine: Engine) -> dict[str, Tensor]:
    with engine.gathered() as model:
        return {name: value.detach().clone() for name, value in adapters.plain_state(model).items()}


def run(make: Any, ranks: Ranks, tokens: Tokens, folder: Path) -> dict[str, Any]:
    """All that is compared. `make(seed, adapter)` gives an engine over `model_of` these."""
    engine = make(0, False)
    batch_loss(engine, ranks)
    engine.zero_grad()
    found: dict[str, Any] = {"steps": learn(engine, ranks), "weights": weights(engine)}
    with engine.gathered() as model:
        found["sampled"] = sample(model, tokens, ranks)
        if ranks.is_first:  # only one rank: nothing in there may wait for the others
            found["sampled_alone"] = sample(model, tokens, Ranks.single())
            policy.save(model, tokens, folder / "model")
    with torch.no_grad():
        found["scored"] = engine.apply(
            score, torch.tensor([[4, 5, 6, 7]]), torch.tensor([[False, True, True, True]])
        ).logprobs
    checkpoint = folder / "checkpoint"
    if ranks.is_first:
        checkpoint.mkdir(parents=True, exist_ok=True)
    ranks.barrier()
    engine.save(checkpoint)
    found["next"] = learn(engine, ranks, 2)
    found["next_weights"] = weights(engine)
    resumed = make(7, False)
    resumed.load(checkpoint)
    found["resumed"] = learn(resumed, ranks, 2)
    found["resumed_weights"] = weights(resumed)
    adapted = make(0, True)
    found["adapted"] = learn(adapted, ranks, 2)
    found["adapted_weights"] = weights(adapted)
    found["values"] = learn_values(make(0, None), ranks)
    return found


def learn_values(engine: Engine, ranks: Ranks) -> list[tuple[float, float]]:
    """(loss, gradient norm) of two steps of a critic towards 1, each rank with a row of its own."""
    found = []
    for _ in range(2):
        before, after = engine.apply(critic.score_values, [Segment((tuple(PROMPTS[0]),), tuple(ROWS[0]))])
        loss = ((before - 1).square().sum() + (after - 1).square().sum()) / ranks.size
        engine.backward(loss)
        found.append((ranks.sum(float(loss.detach())), engine.step(1.0)))
    return found


def model_of(tokens: Tokens, seed: int, adapter: bool | None) -> Any:
    """With `adapter` None it is a critic, whose number of weights is odd."""
    model = make_tiny_model(tokens, seed)
    if adapter is None:
        return critic.make(model)
    return adapters.add(model, AdapterParams(rank=2, alpha=4), seed=3) if adapter else model


def alone(tokens: Tokens, folder: Path, settings: OptimiserParams = SETTINGS) -> dict[str, Any]:
    """The same in one process with the torch engine."""
    return run(
        lambda seed, adapter: TorchEngine(model_of(tokens, seed, adapter), settings, CPU),
        Ranks.single(),
        tokens,
        folder,
    )


def main() -> None:
    folder = Path(sys.argv[1])
    deepspeed_engine.PERSISTENT = 0  # the tiny model's weights would all stay whole
    tokens = Tokens.load(folder / "tokens")
    ranks = Ranks.join(CPU)
    found: dict[str, Any] = {
        "gathered": ranks.all_gather([ranks.index, "x"]),
        "any": (ranks.any(ranks.index == 1), ranks.any(False)),
    }
    found["sum"] = (ranks.sum(0.5 + ranks.index), ranks.sum(torch.tensor([1.0, ranks.index])).tolist())
    found["broadcast_from_first"] = ranks.broadcast_from_first(ranks.index)
    found["unshared"] = ranks.unshard([item * 10 for item in ranks.shard([1, 2, 3, 4, 5])], 5)
    found["turns"] = [ranks.micro_batches_per_rank(count) for count in (0, 1, 2, 5)]
    torch.save(found, folder / f"ranks-{ranks.index}.pt")
    for name in sys.argv[2:]:
        stage, settings = int(name[0]), SETTINGS
        if name.endswith("muon"):
            settings = SETTINGS.model_copy(update={"kind": "muon"})
        offload = "optimiser" if name.endswith("offload") else "none"

        def make(
            seed: int, adapter: bool | None, stage=stage, settings=settings, offload=offload
        ) -> DeepSpeedEngine:
            return DeepSpeedEngine(model_of(tokens, seed, adapter), settings, CPU, ranks, stage, offload)

        torch.save(run(make, ranks, tokens, folder / name), folder / f"{name}-{ranks.index}.pt")
    ranks.leave()


if __name__ == "__main__":
    main()
    end_worker()
