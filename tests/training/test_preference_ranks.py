"""Two processes learn from pairs as one does: DPO and a reward model, with ZeRO stages 0 and 3.

    python -m tests.training.test_preference_ranks FOLDER STAGE

is what each of them runs, under torchrun's environment.
"""

import os
import sys
from pathlib import Path

import pytest
import torch

from pipelines.models import score_head
from pipelines.models.tokenizer import Tokens
from pipelines.training import deepspeed_engine
from pipelines.training.best import BestWeights
from pipelines.training.engine import Engine, TorchEngine
from pipelines.training.engines import make_engine
from pipelines.training.options import OptimiserParams
from pipelines.training.preference import PairsWithReference, batch_loss
from pipelines.training.preference_data import PairBatches, PairData
from pipelines.training.preference_params import PairTrainParams
from pipelines.training.ranking import RankData
from pipelines.training.ranking import batch_loss as ranking_loss
from pipelines.training.ranks import Ranks
from pipelines.training.reference_logprobs import reference_logprobs
from tasks.launch import end_worker, launch
from tests.tiny import CPU, make_tiny_model, make_tiny_tokens
from tests.training.test_preference import make_pairs

ROOT = Path(__file__).resolve().parents[2]
OPTIMISER = OptimiserParams(learning_rate=1e-2, epsilon=1e-5, grad_clip=0.5)
ROWS = [3, 0, 11, 7, 4]  # 5 micro-batches of a pair: the ranks have 3 and 2


def learn(folder, ranks, stage):
    """Figures, gradient norms and the best weights of two steps of each loop."""
    tokens = Tokens.load(folder / "tokens")
    data = PairData(make_pairs(tokens), 64)
    batches = PairBatches(1, ranks, True)

    def engine(model) -> Engine:
        return (
            TorchEngine(model, OPTIMISER, CPU)
            if stage is None
            else make_engine(model, OPTIMISER, CPU, ranks, stage)
        )

    reference = reference_logprobs(make_tiny_model(tokens, 1), data, CPU, 30, ranks)
    found = {"reference": reference}
    policy = engine(make_tiny_model(tokens))
    settings = PairTrainParams(steps=2)
    pairs, scored = PairsWithReference(data, reference), RankData.rewards(data, "prompt")
    steps = [
        batch_loss(policy, pairs, ROWS, settings, batches, True) | {"norm": policy.step(1.0)}
        for _ in range(2)
    ]
    reward = engine(score_head.make(make_tiny_model(tokens), 0))
    steps += [
        ranking_loss([reward], scored, ROWS, batches, True) | {"norm": reward.step(1.0)} for _ in range(2)
    ]
    best = BestWeights(ranks)
    best.offer([reward], 2, 0.5)
    with reward.gathered() as model:
        if ranks.is_first:
            best.restore(model)
            found["scores"] = score_head.score_ends(model, data.pairs[0].rows(True)).detach()
    return found | {"steps": [list(step.values()) for step in steps]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("ranks")
    make_tiny_tokens(made / "tokens")
    return made


@pytest.mark.slow
def test_two_processes_learn_from_pairs_as_one_does(folder, learning_python):
    alone = learn(folder, Ranks.single(), None)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    launch(
        2,
        [learning_python, "-m", "tests.training.test_preference_ranks", str(folder), "0", "3"],
        grace=2,
        env=environment,
    )
    for stage in (0, 3):
        for rank in (0, 1):
            found = torch.load(folder / f"pairs-{stage}-{rank}.pt")
            assert found.keys() == (alone.keys() if rank == 0 else alone.keys() - {"scores"})
            torch.testing.assert_close(found["reference"], alone["reference"], rtol=1e-5, atol=1e-5)
            for one, other in zip(found["steps"], alone["steps"], strict=True):
                assert one == pytest.approx(other, rel=1e-4, abs=1e-5)
            if rank == 0:
                torch.testing.assert_close(found["scores"], alone["scores"], rtol=1e-4, atol=1e-5)


def main() -> None:
    folder = Path(sys.argv[1])
    deepspeed_engine.PERSISTENT = 0  # the tiny model's weights would all stay whole
    ranks = Ranks.join(CPU)
    for stage in map(int, sys.argv[2:]):
        torch.save(learn(folder, ranks, stage), folder / f"pairs-{stage}-{ranks.index}.pt")
    ranks.leave()


if __name__ == "__main__":
    main()
    end_worker()
