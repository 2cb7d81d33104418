"""Reward and cost models learn to order answers; weights by prompt, ensembles, the best step kept, bit-equal
resumption.
"""

import math
from contextlib import suppress

import pytest
import torch
from pydantic import ValidationError

from pipelines.models import score_head
from pipelines.models.adapter_params import AdapterParams
from pipelines.training.best import BestWeights
from pipelines.training.checkpoints import CheckpointParts, Checkpoints
from pipelines.training.engine import TorchEngine
from pipelines.training.preference_data import AnswerPair, PairBatches, PairData
from pipelines.training.preference_params import RankingParams
from pipelines.training.ranking import RankData, batch_loss, pair_scores, train_ranking
from pipelines.training.ranks import Ranks
from pipelines.training.session import TrainingSession
from tests.tiny import CPU, make_tiny_model, make_tiny_tokens
from tests.training.loops import Notes
from tests.training.test_preference import make_pairs

SETTINGS = RankingParams(
    steps=6, batch_size=16, max_tokens=64, validation_every=2, optimiser={"learning_rate": 3e-3}
)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


def odd_against_even(tokens, count=30):
    """Pairs that a tiny model learns at once: the chosen answer is an even number."""
    pairs = [pair for pair in make_pairs(tokens, count) if len(pair.chosen) == len(pair.rejected)]
    found = []
    for index, pair in enumerate(pairs):
        even, odd = f"#### {index * 2 % 10}", f"#### {(index * 2 + 1) % 10}"
        ids = {"chosen_ids": tokens.encode_response(even), "rejected_ids": tokens.encode_response(odd)}
        found.append(type(pair)(**{**pair.__dict__, "chosen": even, "rejected": odd, **ids}))
    return found


class Run:
    """`members` models trained on `data`; `stop` ends it with a checkpoint after that many steps."""

    def __init__(self, folder, tokens, data, validation, settings=SETTINGS, stop=None, adapter=None):
        models = [score_head.make(make_tiny_model(tokens), seed) for seed in range(settings.members)]
        if adapter:
            models = [score_head.add_adapters(model, adapter, 0) for model in models]
        self.engines = [TorchEngine(model, settings.optimiser, CPU) for model in models]
        self.best, self.notes = BestWeights(), Notes()
        state = CheckpointParts(
            best=self.best, **{f"member_{index}": engine for index, engine in enumerate(self.engines)}
        )
        session = TrainingSession(state, Checkpoints(folder, 0, self.notes.say), self.notes, settings.steps)

        def progress(done, total, **figures):
            session._terminated = done == stop

        self.notes.progress = progress
        with suppress(SystemExit):
            train_ranking(self.engines, session, data, validation, settings, self.best, self.notes, 0, 200)

    def kept(self):
        """The members with the weights of the best step."""
        for index, engine in enumerate(self.engines):
            with engine.gathered() as model:
                self.best.restore(model, index)
        return [engine.model for engine in self.engines]


def test_identity_7_a_prompt_counts_once_however_many_pairs_it_has(tokens):
    pairs = [AnswerPair(str(index), (5,), (8, 1), (9, 1)) for index in range(3)]
    data = RankData(pairs, ["a", "a", "b"], "prompt", None)
    assert data.weights.tolist() == pytest.approx([0.75, 0.75, 1.5])
    assert RankData(pairs, ["a", "a", "b"], "pair", None).weights.tolist() == [1.0, 1.0, 1.0]
    model = score_head.make(make_tiny_model(tokens), 0)
    torch.nn.init.zeros_(model.score.weight)
    engine = TorchEngine(model, SETTINGS.optimiser, CPU)
    figures = batch_loss([engine], data, [0, 1, 2], PairBatches(100, Ranks.single(), True), False)
    assert figures["loss"] == pytest.approx(math.log(2)), "the weighted sum, 2 log 2, over two prompts"
    assert figures["accuracy"] == 0.5, "equal scores are a coin"


def test_every_cut_gives_the_same_loss_and_gradient(tokens):
    data = RankData.rewards(PairData(make_pairs(tokens), 64), "prompt")
    found = []
    for budget in (1, 50, 10_000):
        engine = TorchEngine(score_head.make(make_tiny_model(tokens), 0), SETTINGS.optimiser, CPU)
        figures = batch_loss([engine], data, [3, 0, 11, 7], PairBatches(budget, Ranks.single(), True), True)
        found.append((figures, [value.grad.clone() for value in engine.model.parameters()]))
    for figures, gradients in found[1:]:
        assert figures == pytest.approx(found[0][0], rel=1e-4, abs=1e-6)
        for one, other in zip(gradients, found[0][1], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_a_reward_model_learns_and_its_best_step_is_kept(tokens, tmp_path):
    data = RankData.rewards(PairData(odd_against_even(tokens), 64), "prompt")
    run = Run(tmp_path, tokens, data, data, SETTINGS.model_copy(update={"steps": 20, "members": 2}))
    rows = run.notes.rows
    shown = {row["step"]: row["validation_accuracy"] for row in rows if "validation_accuracy" in row}
    assert shown[20] > 0.9
    assert run.best.score == max(shown.values())
    assert run.best.step == min(step for step, value in shown.items() if value == run.best.score), (
        "of equal ones the earlier"
    )
    assert rows[-1]["validation_margin"] == pytest.approx(
        rows[-1]["validation_first_score"] - rows[-1]["validation_second_score"]
    )
    with torch.no_grad():
        scores = torch.stack([pair_scores(model, data.pairs) for model in run.kept()]).mean(0)
    assert (scores[:, 0] > scores[:, 1]).double().mean().item() == pytest.approx(run.best.score)


@pytest.mark.parametrize("adapter", [None, AdapterParams(rank=2, alpha=4)], ids=["whole", "adapter"])
def test_a_stopped_run_goes_on_to_the_same_bits_and_the_same_best(tokens, tmp_path, adapter):
    data = RankData.rewards(PairData(make_pairs(tokens), 64), "prompt")
    settings = SETTINGS.model_copy(update={"members": 2})
    whole = Run(tmp_path / "whole", tokens, data, data, settings, adapter=adapter)
    cut = Run(tmp_path / "cut", tokens, data, data, settings, stop=3, adapter=adapter)
    resumed = Run(tmp_path / "cut", tokens, data, data, settings, adapter=adapter)
    assert cut.notes.rows + resumed.notes.rows == whole.notes.rows
    assert (resumed.best.step, resumed.best.score) == (whole.best.step, whole.best.score)
    for one, other in zip(whole.engines, resumed.engines, strict=True):
        assert all(map(torch.equal, one.model.parameters(), other.model.parameters()))
    for name, member in (("one", whole), ("two", resumed)):
        with member.engines[1].gathered() as model:
            member.best.restore(model, 1)
            score_head.save(model, tokens, tmp_path / name)
    assert (tmp_path / "one/model.safetensors").read_bytes() == (
        tmp_path / "two/model.safetensors"
    ).read_bytes()


def test_a_cost_model_orders_by_harm_and_finds_the_boundary(tokens, tmp_path):
    """Even answers are safe: the chosen one of half of the pairs, so that order of the file and order of the
    costs differ.
    """
    pairs = []
    for index, pair in enumerate(odd_against_even(tokens)):
        texts = {"chosen_safe": True, "rejected_safe": False, "safer": True}
        if index % 2:
            texts = {
                "chosen": pair.rejected,
                "rejected": pair.chosen,
                "chosen_ids": pair.rejected_ids,
                "rejected_ids": pair.chosen_ids,
            }
            texts |= {"chosen_safe": False, "rejected_safe": True, "safer": False}
        pairs.append(type(pair)(**{**pair.__dict__, **texts}))
    data = RankData.costs(PairData(pairs, 64), "prompt")
    assert data.signs.tolist() == [[1.0, -1.0]] * len(pairs)
    assert all(tokens.decode(list(row.first))[-1] in "13579" for row in data.pairs)
    run = Run(tmp_path, tokens, data, data, SETTINGS.model_copy(update={"steps": 30}))
    assert run.notes.rows[0]["loss"] == pytest.approx(3 * math.log(2), rel=0.2)
    assert run.notes.rows[-1]["validation_accuracy"] > 0.9
    assert run.notes.rows[-1]["validation_sign_accuracy"] > 0.8
    with pytest.raises(ValueError, match=r"safety\.jsonl: pair .* has no safety labels"):
        RankData.costs(PairData(make_pairs(tokens), 64, "safety.jsonl"), "prompt")


def test_the_best_step_needs_something_to_be_measured_on(tokens, tmp_path):
    data = RankData.rewards(PairData(make_pairs(tokens), 64), "prompt")
    with pytest.raises(ValueError, match="needs validation pairs"):
        Run(tmp_path, tokens, data, None)
    with pytest.raises(ValidationError, match="keep: best needs validation_every"):
        RankingParams(steps=1, validation_every=0)
